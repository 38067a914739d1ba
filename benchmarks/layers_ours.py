"""Our side of single layers; see `benchmarks.layers`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.layers import USED
from benchmarks.machine_rates import per_call
from vnet_jax.models import cudnn, winograd, xla
from vnet_jax.models.conv import VARIABLE, conv, which_form

#: form on a CPU -> VNET_JAX_CONV, and whether Winograd's sums may be taken
FORMS = {
    USED: ("auto", True),
    "onednn": ("onednn", False),
    "onednn with Winograd": ("onednn", True),
    "planar": ("planar", False),
    "planar with Winograd": ("planar", True),
}
#: form on a GPU -> the convolution, and what XLA is told
GPU_FORMS = {
    USED: (conv, cudnn.OPTIONS),
    "native": (xla.native, None),
    "native channels last": (xla.native, cudnn.OPTIONS),
}


class Side:
    """Holds the calls of one layer, a form each."""

    def forms(self) -> dict:
        """What this machine can run."""
        if jax.default_backend() != "cpu":
            return {"forms": list(GPU_FORMS)}
        here = "onednn" in which_form()
        return {"forms": [f for f in FORMS if here or not f.startswith("onednn")]}

    def prepare(self, what: Mapping, form: str) -> dict:
        """Compiles one layer in one form and calls it once.

        Args:
            what: shape, inputs, outputs, work, dtype.
            form: of `forms`.
        """
        if jax.default_backend() == "cpu":
            call = on_cpu(what, *FORMS[form])
        else:
            call = compiled(what, *GPU_FORMS[form])
        call()
        self.calls = getattr(self, "calls", {}) | {form: call}
        return {}

    def time(self, form: str) -> dict:
        """Seconds of one call."""
        return {"seconds": per_call(self.calls[form])}


def on_cpu(what: Mapping, word: str, sums: bool) -> Callable:
    """A call of one layer in one of FORMS."""
    suits = winograd.suits if sums else lambda *_: False
    jax.clear_caches()  # what was traced before holds another form
    with (
        mock.patch.dict(os.environ, {VARIABLE: word}),
        mock.patch.object(winograd, "suits", suits),
    ):
        return compiled(what, conv)


def compiled(what: Mapping, convolve: Callable, options=None) -> Callable:
    """A call of one layer, on arrays that lie on the device."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        array = rng.standard_normal(shape, np.float32)
        return jax.device_put(jnp.asarray(array, what["dtype"]))

    inputs, outputs, shape = what["inputs"], what["outputs"], what["shape"]
    x, w = draw(1, *shape, inputs), draw(5, 5, 5, inputs, outputs)
    g = draw(1, *shape, outputs)
    works = {
        "forward": lambda x, w, g: convolve(x, w),
        "input_gradient": lambda x, w, g: jax.vjp(lambda x: convolve(x, w), x)[1](g)[0],
        "kernel_gradient": lambda x, w, g: jax.vjp(lambda w: convolve(x, w), w)[1](g)[
            0
        ],
    }
    lowered = jax.jit(works[what["work"]]).lower(x, w, g)
    program = lowered.compile(compiler_options=options)
    return lambda: program(x, w, g).block_until_ready()

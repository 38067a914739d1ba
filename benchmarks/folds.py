"""Which neighbours to put together for a GPU: the convolutions of the V-Net, folded.

    python -m benchmarks.folds [--minutes 3]

Times each width of convolution with each way to fold its voxels into channels, as a
convolution and turned into the gradient of an input, and the gradient of its kernel.
The rules of `vnet_jax.models.cudnn` come from its table.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.machine_rates import fastest
from benchmarks.suites import FULL
from vnet_jax.models import cudnn
from vnet_jax.models.xla import native

#: level (0 is full resolution), inputs, outputs
WIDTHS = (
    (0, 32, 32),
    (0, 32, 3),
    (0, 3, 32),
    (0, 1, 16),
    (0, 4, 16),
    (0, 16, 4),
    (1, 64, 64),
    (1, 32, 32),
    (2, 128, 128),
    (2, 64, 64),
    (3, 256, 256),
    (3, 128, 128),
)
SIZES = {  # by the channels of the narrower side
    **dict.fromkeys((1, 3, 4), ((1, 1, 8), (1, 1, 4), (1, 1, 2))),
    32: ((1, 2, 2), (1, 1, 2), (1, 1, 1)),
    64: ((1, 1, 2), (1, 1, 1)),
    128: ((1, 1, 1),),
    256: ((1, 1, 1),),
}
WAYS = ("forward", "turned", "kernel gradient")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    until = time.monotonic() + 60 * parser.parse_args(arguments).minutes
    print("| layer | form | ms | TFLOP/s of the unfolded |\n|---|---|---|---|")
    for level, inputs, outputs in WIDTHS:
        space = [n // 2**level for n in FULL]
        for name, call in forms(space, inputs, outputs).items():
            if time.monotonic() > until:
                return
            seconds = fastest(call)
            rate = 2e-12 * np.prod(space) * 125 * inputs * outputs / seconds
            layer = f"{inputs} to {outputs} at {'x'.join(map(str, space))}"
            print(
                f"| {layer} | {name} | {seconds * 1e3:.2f} | {rate:.0f} |", flush=True
            )


def forms(space: Sequence[int], inputs: int, outputs: int) -> dict[str, Callable]:
    """Calls by the form's name, compiled when first called."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        values = rng.standard_normal(shape, np.float32)
        return jax.device_put(jnp.asarray(values, jnp.bfloat16))

    arrays = draw(1, *space, inputs), draw(5, 5, 5, inputs, outputs)
    g = draw(1, *space, outputs)
    made = {}
    for way in WAYS:
        for sizes in SIZES[min(inputs, outputs)]:
            name = f"{way}, {'x'.join(map(str, sizes))}"
            made[name] = _call(folded(sizes, way), *arrays, g)
    if outputs <= cudnn.NARROW:
        made["forward, 2x2x2 outputs"] = _call(
            lambda x, w, _: cudnn.blocks(x, w), *arrays, g
        )
        gradient = functools.partial(cudnn.kernel_gradient, k=(5, 5, 5))
        made["kernel gradient, 2x2x2 outputs"] = _call(
            lambda x, _, g: gradient(x, g), *arrays, g
        )
    return made


def folded(sizes: Sequence[int], way: str) -> Callable:
    """(x, w, g) -> the output, or the gradient of the kernel, with voxels folded."""
    convolve = cudnn.turned if way == "turned" else native

    def run(x, w):
        y = convolve(cudnn.fold(x, sizes), cudnn.fold_kernel(w, sizes))
        return cudnn.unfold(y, sizes)

    if way != "kernel gradient":
        return lambda x, w, _: run(x, w)
    return lambda x, w, g: jax.vjp(lambda w: run(x, w), w)[1](g)[0]


def _call(function, *arrays):
    program = jax.jit(function, compiler_options=cudnn.OPTIONS)
    return lambda: program(*arrays).block_until_ready()


if __name__ == "__main__":
    main()

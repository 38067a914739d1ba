"""PyTorch's side of single layers; see `benchmarks.layers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from benchmarks import ranks
from benchmarks.layers import RIVAL
from benchmarks.machine_rates import per_call
from benchmarks.program import CHANNELS_LAST
from benchmarks.theirs import DTYPES


class Side:
    """Holds the call of one layer."""

    def __init__(self):
        self.device = ranks.device()
        torch.backends.cudnn.benchmark = True

    def prepare(self, what: Mapping, form: str) -> dict:
        """Makes the call of one layer and calls it once.

        Args:
            what: shape, inputs, outputs, work, dtype.
            form: how PyTorch runs it, a value of RIVAL.
        """
        self.call = self._finished(called(what, form, self.device))
        self.call()
        return {}

    def time(self, form: str) -> dict:
        """Seconds of one call."""
        del form
        return {"seconds": per_call(self.call)}

    def _finished(self, call: Callable) -> Callable:
        def finished():
            call()
            if self.device.type == "cuda":
                torch.cuda.synchronize()

        return finished


def called(what: Mapping, form: str, device) -> Callable:
    """A call of one layer, on tensors that lie on the device."""
    if form not in RIVAL.values():
        raise ValueError(f"{form!r} is no way to run a layer in PyTorch")
    last = form == CHANNELS_LAST
    layout = torch.channels_last_3d if last else torch.contiguous_format

    def draw(*shape):
        tensor = torch.randn(shape, device=device, dtype=DTYPES[what["dtype"]])
        return tensor.contiguous(memory_format=layout)

    inputs, outputs, shape = what["inputs"], what["outputs"], what["shape"]
    x, w = draw(1, inputs, *shape), draw(outputs, inputs, 5, 5, 5)
    g = draw(1, outputs, *shape)
    if what["work"] == "forward":
        convolve = torch.inference_mode()(torch.nn.functional.conv3d)
        return lambda: convolve(x, w, padding=2)
    wanted = [what["work"] == name for name in ("input_gradient", "kernel_gradient")]
    geometry = ([1] * 3, [2] * 3, [1] * 3, False, [0] * 3, 1)  # stride, padding, ...
    back = torch.ops.aten.convolution_backward
    return lambda: back(g, x, w, None, *geometry, [*wanted, False])

"""The rival's side: the PyTorch twin, as a PyTorch user would run it.

PyTorch keeps its defaults (threads, TF32, Adam) but for one on a GPU: cuDNN searches
the fastest kernels (`cudnn.benchmark`), since shapes never change here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks import inputs, machine_rates, memory, ranks
from benchmarks.pipe import STARTED
from benchmarks.program import CHANNELS_LAST, COMPILE, COMPILE_CHANNELS_LAST, Program
from benchmarks.torch_vnet import Cascade, VNet, loss_of

LONG_S = 10.0  # as in `benchmarks.ours`
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMPILED = (COMPILE, COMPILE_CHANNELS_LAST)
LAST = (CHANNELS_LAST, COMPILE_CHANNELS_LAST)


class Side:
    """Answers the commands of the parent; see `benchmarks.worker`."""

    def __init__(self):
        self.device = ranks.device()
        torch.backends.cudnn.benchmark = True

    def hello(self) -> dict:
        """On what it runs."""
        gpu = self.device.type == "cuda"
        versions = {"torch": torch.__version__, "numpy": np.__version__}
        if gpu:
            cudnn = str(torch.backends.cudnn.version())
            versions |= {"CUDA": torch.version.cuda, "cuDNN": cudnn}
        return {
            "platform": "gpu" if gpu else "cpu",
            "device": torch.cuda.get_device_name() if gpu else "cpu",
            "devices": torch.cuda.device_count() if gpu else 1,
            "threads": torch.get_num_threads(),
            "versions": versions,
        }

    def rates(self, size: int, megabytes: int, dtypes: list[str]) -> dict:
        """FLOP/s of matrix products and bytes/s of a copy; see `machine_rates`."""

        def product(n, dtype):
            a = torch.randn((n, n), dtype=DTYPES[dtype], device=self.device)
            return partial(self._finished, partial(torch.matmul, a, a))

        def copy(count):
            x = torch.ones(count, device=self.device)
            return partial(self._finished, partial(torch.empty_like(x).copy_, x))

        return machine_rates.measure(product, copy, size, megabytes, dtypes)

    def prepare(self, settings: dict, weights: str = "") -> dict:
        """Builds a network and calls it two or three times.

        Args:
            settings: of the `Program`; `side` says how PyTorch runs it.
            weights: a state dict as .npz to start from; PyTorch's own if empty.

        Returns:
            As `benchmarks.ours.Side.prepare`. `compile_s`, of what is compiled as it
            is first called, is what the first call took more than a later one.
        """
        program = Program.of(settings)
        net = network(program, weights, self.device)
        make = {"forward": forward, "train_step": train_step}[program.work]
        self._call = make(program, net, self.device)
        began = time.perf_counter()
        result = self._finished(self._call)
        warm_s = call_s = time.perf_counter() - began
        first_s = time.time() - float(os.environ.get(STARTED, "nan"))
        facts = told(program, result)
        del result
        slow = call_s > LONG_S and self.device.type == "cpu"
        if not slow or program.side in COMPILED:
            warm_s = self.time()["seconds"]
        compile_s = call_s - warm_s if program.side in COMPILED else 0.0
        return {**facts, "compile_s": compile_s, "first_s": first_s, "warm_s": warm_s}

    def time(self) -> dict:
        """Seconds of one call, until its results are there."""
        began = time.perf_counter()
        self._finished(self._call)
        return {"seconds": time.perf_counter() - began}

    def reset_peak(self) -> dict:
        """Starts the high-water mark of memory anew."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        return {"reset": memory.reset_high_water()}

    def peak(self) -> dict:
        """MB held at the most: of one GPU, or on a CPU of all its processes."""
        if self.device.type == "cuda":
            return {"peak_mb": torch.cuda.max_memory_allocated() / memory.MB}
        return {"peak_mb": ranks.total(memory.high_water_mb())}

    def _finished(self, call: Callable):
        result = call()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return result


def network(program: Program, weights: str, device, dropout: float = 0.5):
    """The twin with the weights given, as its side wants it."""
    kind = Cascade if program.net == "cascade" else VNet
    net = kind(width=program.width, dropout=dropout)
    if weights:
        with np.load(weights) as arrays:
            state = {name: torch.from_numpy(a) for name, a in arrays.items()}
        net.load_state_dict(state)
    net = net.to(device)
    if program.side in LAST:
        net = net.to(memory_format=torch.channels_last_3d)
    net = ranks.wrapped(net, device)
    return torch.compile(net) if program.side in COMPILED else net


def batch(program: Program, device):
    """This process's share of the batch: image (N, 1, D, H, W), label (N, D, H, W)."""
    image, label = inputs.draw(program.shape, program.batch)
    mine = ranks.share(program.batch)
    x = placed(program, torch.from_numpy(image[mine])[:, None], device)
    return x, torch.from_numpy(label[mine]).long().to(device)


def placed(program: Program, x: torch.Tensor, device) -> torch.Tensor:
    """(N, 1, D, H, W) on the device, in the layout of the side."""
    x = x.to(device)
    last = program.side in LAST
    return x.contiguous(memory_format=torch.channels_last_3d) if last else x


def autocast(program: Program, device):
    """PyTorch's automatic mixed precision, off for float32."""
    on = program.dtype == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on)


def forward(program: Program, net, device) -> Callable:
    """A call that gives the logits."""
    x, _ = batch(program, device)
    net.eval()

    @torch.inference_mode()
    def call():
        with autocast(program, device):
            return net(x)

    return call


def train_step(program: Program, net, device, rate: float = 1e-4) -> Callable:
    """A call that does one step of Adam and gives the loss."""
    x, y = batch(program, device)
    step = stepper(program, net, device, rate)
    return partial(step, x, y)


def stepper(program: Program, net, device, rate: float) -> Callable:
    """(image, label) -> loss: forward, backward, Adam."""
    net.train()
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)

    def step(x, y):
        optimiser.zero_grad(set_to_none=True)
        with autocast(program, device):
            loss = loss_of(net(x), y)
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step


def told(program: Program, result) -> dict:
    """What a first call computed, in a few numbers to compare."""
    if program.work == "train_step":
        return {"loss": result.item()}
    logits = result[-1].float().permute(0, 2, 3, 4, 1).cpu().numpy()
    logits = logits.reshape(-1, logits.shape[-1])
    return {"probe": logits[inputs.probe_places(len(logits))].ravel().tolist()}

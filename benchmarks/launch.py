"""How the workers of both sides are started."""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.pipe import NotRun, Worker

NO_TORCH = "PyTorch is not installed"


@dataclass(eq=False)
class Launcher:
    """Starts workers and ends them all.

    Attributes:
        device: "cpu" or "gpu".
        torch_python: the interpreter that has PyTorch; "" where none has.
        logs: folder for what the workers print.
        refused: side ("vnet_jax", "torch") -> why it cannot run here.
    """

    device: str
    torch_python: str
    logs: Path
    refused: dict[str, str] = field(default_factory=dict)
    _started: list[Worker] = field(default_factory=list)
    _numbers: itertools.count = field(default_factory=itertools.count)

    def __post_init__(self):
        """Makes the folder, and says so where PyTorch is nowhere."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if not self.torch_python:
            self.refused["torch"] = NO_TORCH

    def ours(self, module: str = "benchmarks.ours", devices: int = 1) -> Worker:
        """A worker of vnet_jax.

        Args:
            module: of the worker.
            devices: on a CPU, how many it is cut into.

        Raises:
            NotRun: vnet_jax cannot run on this device.
        """
        self._check("vnet_jax")
        command = [sys.executable, "-m", "benchmarks.worker", module]
        return self._start(command, module, our_environment(self.device, devices))

    def torch(self, module: str = "benchmarks.theirs", processes: int = 0) -> Worker:
        """A worker of PyTorch; under torchrun with `processes`, alone with 0.

        Raises:
            NotRun: there is no PyTorch, or none for this device.
        """
        self._check("torch")
        command = [self.torch_python, "-m", "benchmarks.worker", module]
        if processes:
            command[1:2] = [
                *("-m", "torch.distributed.run", "--standalone"),
                *(f"--nproc_per_node={processes}", "-m"),
            ]
        environment = their_environment(self.device, processes)
        return self._start(command, module, environment)

    def close(self) -> None:
        """Ends every worker that was started."""
        for worker in self._started:
            worker.close()
        self._started.clear()

    def _check(self, side: str) -> None:
        if self.refused.get(side):
            raise NotRun(self.refused[side])

    def _start(self, command, module: str, environment) -> Worker:
        name = module.rpartition(".")[2]
        log = self.logs / f"{next(self._numbers):02d}-{name}.log"
        self._started.append(Worker(command, log, environment))
        return self._started[-1]


def our_environment(device: str, devices: int = 1) -> dict[str, str]:
    """What JAX is told as its process starts; it compiles anew, whatever is kept."""
    told = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    if device == "gpu":
        # The rival needs its memory at the same time.
        return told | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    told |= {"JAX_PLATFORMS": "cpu"}
    if devices == 1:
        return told
    cut = f"--xla_force_host_platform_device_count={devices}"
    return told | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {cut}".strip()}


def their_environment(device: str, processes: int = 0) -> dict[str, str]:
    """What PyTorch is told; several processes on a CPU share out its cores."""
    told = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}  # it compiles anew, too
    if device == "gpu":
        return told
    told |= {"CUDA_VISIBLE_DEVICES": ""}
    if not processes:
        return told
    return told | {"OMP_NUM_THREADS": str(max(1, cores() // processes))}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def python_with_torch(asked: str) -> str:
    """The interpreter asked for; else this one if it has PyTorch; else ""."""
    return asked or (sys.executable if importlib.util.find_spec("torch") else "")

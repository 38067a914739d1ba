"""Several PyTorch processes that work as one, under torchrun; one alone as itself.

Process 0 reads the commands and hands each to the others, so that all do the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import torch
from torch import distributed


def rank() -> int:
    """The number of this process."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device() -> torch.device:
    """The GPU of this process, or the CPU where PyTorch sees none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    mine = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(mine)
    return mine


def shared(lines: Iterable[str]) -> Iterator[str]:
    """The lines that process 0 reads, in every process."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend)
    # Waiting in gloo sleeps, where NCCL would keep the GPU busy.
    talk = distributed.new_group(backend="gloo")
    lines = iter(lines)
    while True:
        box = [next(lines, None) if rank() == 0 else None]
        distributed.broadcast_object_list(box, src=0, group=talk)
        if box[0] is None:
            distributed.destroy_process_group()
            return
        yield box[0]


def wrapped(net: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The network with gradients averaged over the processes, under torchrun."""
    if not distributed.is_initialized():
        return net
    ids = [device.index] if device.type == "cuda" else None
    return torch.nn.parallel.DistributedDataParallel(net, device_ids=ids)


def total(value: float) -> float:
    """The sum of the processes' values."""
    if not distributed.is_initialized():
        return value
    summed = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(summed)
    return summed.item()


def share(batch: int) -> slice:
    """The samples of a global batch that are this process's."""
    mine = batch // count()
    return slice(rank() * mine, (rank() + 1) * mine)

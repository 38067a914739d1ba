"""Which devices each of several programs side by side gets."""

from __future__ import annotations

import os
import subprocess
import sys

from vnet_jax.errors import InputError
from vnet_jax.experiments.jobs import Slot

#: Asked in a process of its own: JAX holds a GPU's memory while its process lives.
QUESTION = "import jax; print(jax.default_backend(), jax.local_device_count())"
VISIBLE = "CUDA_VISIBLE_DEVICES"


def slots(per_job: int) -> list[Slot]:
    """Cuts the devices of this machine into slots, one a program at a time.

    Args:
        per_job: devices of a slot: GPUs, or processor cores where JAX finds no GPU. 0
            gives one slot with all there is, so that programs run one after another.

    Returns:
        The slots, as many as fit: 8 GPUs at 2 give four.

    Raises:
        InputError: fewer devices than one slot needs.
    """
    if per_job == 0:
        return [Slot()]
    kind, names = devices()
    count = len(names) // per_job if per_job > 0 else 0
    if count == 0:
        raise InputError(
            None,
            f"--devices_per_fold={per_job}, but there are {len(names)} {kind}",
            f"pass 1 to {len(names)}, or 0 for one fold after another on all of them",
        )
    parts = [names[i * per_job : (i + 1) * per_job] for i in range(count)]
    if kind == "GPUs":
        return [Slot({VISIBLE: ",".join(part)}) for part in parts]
    return [Slot(cpus=frozenset(map(int, part))) for part in parts]


def devices() -> tuple[str, list[str]]:
    """What JAX computes on here, in words, and the name of each device.

    Raises:
        InputError: JAX does not start, or computes on what cannot be shared out.
    """
    asked = subprocess.run(
        [sys.executable, "-c", QUESTION], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        said = (asked.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(None, f"JAX finds no device: {said}", "mend its installation")
    backend, count = asked.stdout.split()[-2:]
    if backend == "gpu":
        seen = os.environ.get(VISIBLE)
        names = seen.split(",") if seen else [str(i) for i in range(int(count))]
        return "GPUs", names[: int(count)]
    if backend == "cpu" and hasattr(os, "sched_getaffinity"):
        return "processor cores", [str(i) for i in sorted(os.sched_getaffinity(0))]
    raise InputError(
        None,
        f"devices of kind {backend!r} cannot be shared out here",
        "leave --devices_per_fold out",
    )

"""What segmenting a CT takes of the memory, told before the networks run."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from vnet_jax import memory, processor
from vnet_jax.ct.geometry import Grid
from vnet_jax.inference.ensemble import Ensemble
from vnet_jax.inference.segment import Segmenter

GB = 1e9
#: Python, JAX, what XLA's compiler takes, and what malloc keeps between checkpoints.
PROGRAM_BYTES = 1.1e9
#: Feature maps of the first layer, 4 bytes a value, that XLA plans for on a CPU: 5.3
#: for the paper's phase 1 and 6.8 for its phase 2. In bfloat16 as many, but where the
#: processor multiplies it, about half.
MAPS, MAPS_BFLOAT16 = 7.0, 3.5
#: A class and a weight for each voxel of a window, and the mean that is made of them.
SUMS = 2 * 4
LESS = (
    "close other programs, raise the container's limit, or pass --dtype=bfloat16, a "
    "third less where the processor multiplies it (AVX512_BF16, AMX)"
)


def of_networks(segmenter: Segmenter) -> dict[int, int]:
    """Bytes that each phase's network takes, its variables included.

    Args:
        segmenter: the models; a network of the user's own counts as its variables
            alone, of its feature maps nothing is known.

    Returns:
        phase -> bytes.
    """
    phases = {1: segmenter.phase1, 2: segmenter.phase2}
    dtype = segmenter.dtype
    return {phase: _network(e, dtype) for phase, e in phases.items() if e is not None}


def _network(ensemble: Ensemble, dtype: str | None) -> int:
    predictor, run = ensemble.predictors[0], ensemble.runs[0]
    voxels = math.prod(predictor.window)
    window = jax.ShapeDtypeStruct((1, *predictor.window, 1), jnp.float32)
    init = functools.partial(predictor.module.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), window)
    # One as it was read, one on the device.
    size = 2 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(variables))
    size += SUMS * voxels * ensemble.classes * ensemble.stages
    model = run.config.model
    if model.get("factory"):
        return size
    half = (dtype or model.dtype) == "bfloat16" and processor.multiplies_bfloat16()
    maps = MAPS_BFLOAT16 if half else MAPS
    return size + round(4 * maps * voxels * model.width)


def of_case(segmenter: Segmenter, networks: dict[int, int], grid: Grid) -> int:
    """Bytes that segmenting a CT takes at its peak, about.

    Args:
        segmenter: the models.
        networks: from `of_networks`.
        grid: of the CT.

    Returns:
        The program, the CT and its mask, and the larger of the two phases. Phase 1 has
        the resampled CT beside it, phase 2 its box alone.
    """
    held = 3 * math.prod(grid.shape)  # int16 and uint8
    resampled = 0
    if segmenter.phase1 is not None or segmenter.whole:
        spacing_mm, _ = segmenter.phase2.grid_settings
        volume_mm3 = math.prod(grid.extent_mm)
        finest = [
            wanted or own
            for wanted, own in zip(spacing_mm, grid.spacing_mm, strict=True)
        ]
        resampled = 4 * volume_mm3 / math.prod(finest)
    phases = [networks[2] + (resampled if segmenter.whole else 0)]
    if 1 in networks:
        phases.append(networks[1] + resampled)
    return round(PROGRAM_BYTES + held + max(phases))


def too_little(needed: int) -> str:
    """A line where less is free than a case takes; "" where there is enough.

    Only where the networks compute on the processor: a GPU's memory is asked once the
    network is compiled, when its need is known.

    Args:
        needed: bytes, from `of_case`.
    """
    if jax.default_backend() != "cpu":
        return ""
    # What this process holds already is part of the need.
    free = memory.available_memory() + memory.held_bytes()
    if needed <= free:
        return ""
    return (
        f"segmenting takes about {needed / GB:.1f} GB of memory, {free / GB:.1f} GB "
        f"are free: it may be killed; {LESS}"
    )

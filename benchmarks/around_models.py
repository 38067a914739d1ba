"""Run folders of networks of the paper's size whose answer is known.

The kernels are 0 but for the head's, which takes the mean of the 5x5x5 voxels around
(the skip connections carry the CT to it) and holds it against two thresholds. So a
whole case costs what it costs a trained network, and its masks look like organs; random
weights would paint a hundred thousand specks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from configs import phase1, phase2
from vnet_jax import models
from vnet_jax.data.splits import Splits
from vnet_jax.runs import folder

#: HU, put where the phantom of `around_work` has nothing in between.
KIDNEY_HU, TUMOUR_HU = 120.0, 240.0
CLIP_HU = 250.0
GAIN = 20.0

SMALL = {1: (16, 64, 64), 2: (16, 48, 64)}
SMALL_SPACING_MM = (3.0, 3.0, 3.0)


def write_runs(
    path: Path, dtype: str, small: bool, checkpoints: int = 1
) -> tuple[Path, Path]:
    """Writes a run of each phase.

    Args:
        path: the folder they go into.
        dtype: of the computation.
        small: width 4 and small windows on a coarse grid, else the paper's.
        checkpoints: of phase 2, alike but each in a file of its own.

    Returns:
        Their folders.
    """
    runs = []
    for phase, module in ((1, phase1), (2, phase2)):
        config = module.get_config()
        config.model.dtype = dtype
        if small:
            config.model.width = 4
            config.sample.shape = SMALL[phase]
            config.data.spacing_mm = SMALL_SPACING_MM
            config.data.downsample = (1, 1, 1)
        count = checkpoints if phase == 2 else 1
        runs.append(_write(path / f"phase{phase}", config, count))
    return tuple(runs)


def _write(path: Path, config, count: int) -> Path:
    config.keep_best = count
    values = thresholds(models.build(**config.model), config.model.cascade)
    state = SimpleNamespace(variables=values, rest={"count": np.int32(0)})
    run = folder.create(path, config, Splits(("a",), ("b",)), synthetic=True)
    with run.checkpoints as checkpoints:
        for step in range(1, count + 1):
            checkpoints.save(step, state)
            checkpoints.score(step, 1.0 / step)
    return path


def thresholds(module, cascade: bool) -> dict:
    """Variables with which the last stage's mask is the thresholded local mean."""
    x = jax.ShapeDtypeStruct((1, 16, 16, 16, 1), jnp.float32)
    shapes = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)
    ones = ("scale", "var")
    values = jax.tree_util.tree_map_with_path(
        lambda path, leaf: np.full(leaf.shape, float(path[-1].key in ones), np.float32),
        shapes,
    )
    if not cascade:
        _set_head(values["params"]["head"], module.width, 1.0)
        return values
    _set_head(values["params"]["stage1"]["head"], module.width, 1.0)
    # Stage 2's last skip channel is the CT; stage 1's, which is the same, is added.
    _set_head(values["params"]["stage2"]["head"], 2 * module.width - 1, 0.5)
    return values


def _set_head(head: dict, channel: int, factor: float) -> None:
    """Logits 0, m - a and 2 (m - b) of the mean m: kidney from a on, tumour from c."""
    low, high = KIDNEY_HU / CLIP_HU, TUMOUR_HU / CLIP_HU
    head["conv_0"]["kernel"][:, :, :, channel, 0] = factor / 125
    head["logits"]["kernel"][0, 0, 0, 0] = (0, GAIN, 2 * GAIN)
    middle = (low + high) / 2  # 2 (m - middle) > m - low from m = high on
    head["logits"]["bias"][:] = (0, -GAIN * low, -2 * GAIN * middle)

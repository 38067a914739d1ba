"""Trained pairs for the fuzz runs, small enough for thousands of cases."""

from __future__ import annotations

from pathlib import Path

from flax import linen as nn

from tests.inference import known
from tests.inference.conftest import IPL
from vnet_jax import models
from vnet_jax.inference.segment import Segmenter

WINDOWS = {1: (32, 32, 32), 2: (32, 64, 64)}


def threshold(classes: int, dtype) -> nn.Module:
    """The network that reads the class off the HU, as a factory of `config.model`."""
    del classes, dtype
    return known.Threshold()


def known_pair(folder: Path) -> Segmenter:
    """Two run folders whose masks are known: kidney above 100 HU, tumour above 30."""
    variables = {"params": {"net": known.variables()["params"]}, "batch_stats": {}}
    own = {"factory": f"{__name__}:threshold"}
    return _pair(folder, WINDOWS, lambda config: variables, **own)


def vnet_pair(folder: Path) -> Segmenter:
    """Two V-Nets of width 4 with drawn weights; their masks are what they are."""
    windows = dict.fromkeys(WINDOWS, (32, 48, 48))

    def variables(config):
        module = models.build(**config.model, window=windows[config.phase])
        return known.random_variables(module, windows[config.phase])

    return _pair(folder, windows, variables, width=4)


def _pair(folder: Path, windows, variables, **model) -> Segmenter:
    paths = []
    for phase, downsample in ((1, (1, 2, 2)), (2, (1, 1, 1))):
        args = (phase, IPL.spacing_mm, downsample, windows[phase])
        config = known.config(*args, **model)
        members = {1: (0.5, variables(config))}
        paths.append(known.write_run(folder / f"phase{phase}", config, members))
    return Segmenter(paths[0], [paths[1]])

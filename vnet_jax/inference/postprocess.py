"""Post-processing: which rules clean a mask, and their thresholds (paper, 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np

from vnet_jax.ct.geometry import Grid
from vnet_jax.errors import InputError
from vnet_jax.inference import rules

#: The steps there are, in the order in which they are taken.
STEPS = ("components", "hu", "small", "holes")
#: Those of the paper (5.2).
PAPER_STEPS = ("components", "hu")


@dataclass(frozen=True)
class PostProcessing:
    """Which steps clean a mask, and their thresholds; the paper's by default.

    Attributes:
        steps: of `STEPS`, kept in their order: "components" keeps one or two
            components, "hu" makes tumours of the density of water kidney, "small" does
            the same with small tumours, "holes" fills holes. None of them: the mask
            stays as the networks painted it.
        second_share: of the largest component, for the second one to stay.
        cyst_hu: mean HU below which a tumour is a cyst.
        min_tumour_ml: volume below which a tumour is none.
        tumour_weight: the tumour's probability counts so many times when the likeliest
            class is taken; 1, the paper's, is the plain argmax.
    """

    steps: tuple[str, ...] = PAPER_STEPS
    second_share: float = rules.SECOND_SHARE
    cyst_hu: float = rules.CYST_HU
    min_tumour_ml: float = 0.0
    tumour_weight: float = 1.0

    def __post_init__(self):
        """Brings the steps into their order; refuses what cannot be meant."""
        if unknown := sorted(set(self.steps) - set(STEPS)):
            raise InputError(
                None,
                f"no post-processing step {unknown[0]!r}",
                f"the steps are {', '.join(STEPS)}",
            )
        ordered = tuple(step for step in STEPS if step in self.steps)
        object.__setattr__(self, "steps", ordered)
        for name in ("second_share", "cyst_hu", "min_tumour_ml", "tumour_weight"):
            value = getattr(self, name)
            good = isinstance(value, int | float) and np.isfinite(value)
            if not good or (name != "cyst_hu" and value < 0):
                raise InputError(None, f"{name} is {value!r}", "give a finite number")
            object.__setattr__(self, name, float(value))
        if not self.tumour_weight:
            raise InputError(None, "tumour_weight is 0", "give a number above 0")

    def as_dict(self) -> dict:
        """Plain types, for JSON."""
        return {**asdict(self), "steps": list(self.steps)}


#: The paper's rules and thresholds.
PAPER = PostProcessing()


def settings_from(facts: Mapping) -> PostProcessing:
    """What `PostProcessing.as_dict` gave.

    Raises:
        InputError: another field, or a value that cannot be meant.
    """
    known = {field.name for field in fields(PostProcessing)}
    if not isinstance(facts, Mapping) or set(facts) - known:
        raise InputError(None, f"no post-processing settings: {facts!r}")
    return PostProcessing(**{**facts, "steps": tuple(facts.get("steps", PAPER_STEPS))})


def clean(
    mask: np.ndarray,
    hu: np.ndarray,
    grid: Grid,
    settings: PostProcessing = PAPER,
    cyst: int = rules.KIDNEY,
) -> tuple[np.ndarray, list[dict]]:
    """All steps that the settings name, in the order of `STEPS`.

    The tumour's weight is not among them: it decided what the mask shows, see
    `decision`.

    Args:
        mask: (D, H, W) uint8 labels; not modified.
        hu: (D, H, W) the unclipped CT.
        grid: where the voxels are.
        settings: which steps, and their thresholds.
        cyst: the label of cysts, 1 or 3; see `rules.filter_cysts`.

    Returns:
        A new mask, and the ledger in the order of the changes.
    """
    steps = {
        "components": lambda m: rules.keep_largest(m, hu, grid, settings.second_share),
        "hu": lambda m: rules.filter_cysts(m, hu, grid, settings.cyst_hu, cyst),
        "small": lambda m: rules.drop_small(m, hu, grid, settings.min_tumour_ml),
        "holes": lambda m: rules.fill_holes(m, hu, grid),
    }
    mask, ledger = mask.copy(), []
    for step in settings.steps:
        mask, changes = steps[step](mask)
        ledger += changes
    return mask, ledger

"""One sample under each change that a config turns on, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vnet_jax.data.augment import KINDS, augment

#: What turns a kind on, where its name is not the field's.
FIELDS = {"elastic": "elastic_mm", "blur": "blur_mm"}
TITLES = {"low_resolution": "resolution"}
UNITS = {"rotation": " degrees", "elastic": " mm", "blur": " mm"}
MOVES = ("rotation", "stretch", "scaling", "elastic")
DRAWS = 12
OFF = (0.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True, eq=False)
class View:
    """A sample, changed.

    Attributes:
        title: by what.
        setting: how much of it the config asks for.
        image: (d, h, w) float32 in [-1, 1].
        label: (d, h, w) uint8.
        places_mm: (3, d, h, w), where in the sample (z, y, x) each voxel looks; None
            where nothing moves.
    """

    title: str
    setting: str
    image: np.ndarray
    label: np.ndarray
    places_mm: np.ndarray | None = None


def views(
    image: np.ndarray,
    label: np.ndarray,
    spacing_mm: Sequence[float],
    settings: Mapping,
    seed: int,
    together: int,
) -> list[View]:
    """The sample as it is, then under each change alone, then under all of them.

    Args:
        image: (d, h, w, 1) float32 in [-1, 1].
        label: (d, h, w) uint8.
        spacing_mm: (z, y, x).
        settings: of `augment`, as in a config's `augment`.
        seed: of the draws.
        together: how many samples under all changes, with the config's probabilities.

    Returns:
        One view each. A change alone is the strongest of `DRAWS`, so that its range is
        seen.
    """

    def change(stream: int, seen=image, **chosen) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((seed, stream))
        return augment(seen, label, rng, spacing_mm, **chosen)

    found = [View("as it is", "", image[..., 0], label)]
    for kind in ("flip", *KINDS):
        amount = settings[FIELDS.get(kind, kind)]
        if amount in OFF:
            continue
        alone = _alone(kind, settings)
        drawn = [change(stream, **alone) for stream in range(DRAWS)]
        far = int(np.argmax([np.abs(new - image).mean() for new, _ in drawn]))
        changed, seen = drawn[far]
        places = None
        if kind in MOVES:  # read as the image is, the sample's own places show it
            own = _places_mm(label.shape, spacing_mm)
            places = np.stack([change(far, p, **alone)[0][..., 0] for p in own])
        setting = _text(amount) + UNITS.get(kind, "")
        title = TITLES.get(kind, kind)
        found.append(View(title, setting, changed[..., 0], seen, places))
    for stream in range(together):
        changed, seen = change(DRAWS + stream, **settings)
        found.append(View("together", f"draw {stream + 1}", changed[..., 0], seen))
    return found


def _alone(kind: str, settings: Mapping) -> dict:
    """The settings with everything else off, and this certain."""
    chosen = {FIELDS.get(kind, kind): settings[FIELDS.get(kind, kind)]}
    if kind == "flip":
        chosen = {"flip": [float(p > 0) for p in settings["flip"]]}
        chosen["swap"] = settings.get("swap", ())
    if kind == "elastic":
        chosen["elastic_grid_mm"] = settings["elastic_grid_mm"]
    return chosen


def _places_mm(shape, spacing_mm) -> np.ndarray:
    """(3, d, h, w, 1) float32, from the middle of a sample."""
    steps = [
        (np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)
    ]
    return np.stack(np.meshgrid(*steps, indexing="ij"))[..., None].astype(np.float32)


def _text(amount) -> str:
    if isinstance(amount, tuple | list):
        return ", ".join(f"{part:g}" for part in amount)
    return f"{amount:g}"

"""Whether an alignment is good enough to train on, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from vnet_jax.registration.studies import CLIP_HU
from vnet_jax.scores.dice import dice

TUMOUR = 2
#: Tumour volume after over before; beyond, it is no longer that tumour.
RATIO = (0.5, 2.0)


@dataclass(frozen=True)
class Quality:
    """What is measured of a pair; "before" is kidney middle on kidney middle.

    Attributes:
        similarity_before, similarity_affine, similarity: correlation of the clipped HU
            of the reference with those of the floating image, before, after the affine
            step and at the end; -1 to 1.
        dice_before, dice_affine, dice: of the kidneys, tumours included, alike.
        jacobian_min, jacobian_max: of the determinant over all voxels.
        folded: share of voxels whose determinant is <= 0.
        tumour_ratio: warped tumour volume over the floating case's; None without one.
        kidney_ratio: the same of kidneys with tumours.
    """

    similarity_before: float
    similarity_affine: float
    similarity: float
    dice_before: float
    dice_affine: float
    dice: float
    jacobian_min: float
    jacobian_max: float
    folded: float
    tumour_ratio: float | None
    kidney_ratio: float

    def facts(self) -> dict:
        """For JSON, to 4 digits."""
        kept = asdict(self).items()
        return {name: value and float(f"{value:.4g}") for name, value in kept}


def similarity(a_hu: np.ndarray, b_hu: np.ndarray) -> float:
    """Pearson's correlation of two CTs, clipped to [-250, 250] HU.

    Args:
        a_hu: (D, H, W), HU.
        b_hu: the same shape.

    Returns:
        -1 to 1; 0 where one of them is constant.
    """
    a, b = (np.clip(x, *CLIP_HU).astype(np.float64).ravel() for x in (a_hu, b_hu))
    a -= a.mean()
    b -= b.mean()
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size else 0.0


def measure(
    reference: tuple[np.ndarray, np.ndarray],
    moved: list[tuple[np.ndarray, np.ndarray]],
    jacobian: np.ndarray,
    floating_label: np.ndarray,
) -> Quality:
    """Measures a pair.

    Args:
        reference: (D, H, W) HU and label.
        moved: the same of the floating image on the reference's grid: before, after the
            affine step, at the end.
        jacobian: (D, H, W) determinant.
        floating_label: on its own grid, of the same spacing.
    """
    image, label = reference
    alike = [similarity(image, moved_image) for moved_image, _ in moved]
    overlap = [dice(label > 0, moved_label > 0) for _, moved_label in moved]
    last = moved[-1][1]
    tumour = np.count_nonzero(floating_label == TUMOUR)
    kidney = np.count_nonzero(floating_label)
    return Quality(
        *alike,
        *overlap,
        jacobian_min=float(jacobian.min()),
        jacobian_max=float(jacobian.max()),
        folded=float(np.mean(jacobian <= 0)),
        tumour_ratio=np.count_nonzero(last == TUMOUR) / tumour if tumour else None,
        kidney_ratio=np.count_nonzero(last) / kidney,
    )


def refusal(quality: Quality) -> str:
    """Why a pair is refused, or "" where it is good.

    A fold anywhere turns tissue inside out; a tumour of less than half or more than
    twice its volume is another tumour; and a non-rigid step that makes the images no
    more alike than the affine one has failed.
    """
    if not np.isfinite([quality.jacobian_min, quality.similarity]).all():
        return "not finite"
    if quality.jacobian_min <= 0:
        return f"folds: Jacobian {quality.jacobian_min:.3g}, {quality.folded:.2g} <= 0"
    ratio = quality.tumour_ratio
    if ratio is not None and not RATIO[0] <= ratio <= RATIO[1]:
        return f"tumour volume x {ratio:.3g}"
    if quality.similarity <= quality.similarity_affine:
        gained = f"{quality.similarity_affine:.4f} to {quality.similarity:.4f}"
        return f"similarity not better than affine: {gained}"
    return ""

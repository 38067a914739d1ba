"""Pictures of scored cases: the prediction beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path

from vnet_jax.ct.nifti import read_ct, read_labels
from vnet_jax.data.cases import Case
from vnet_jax.reports.pictures import case_picture
from vnet_jax.scores.folder import aligned


def draw(
    folder: str | PathLike,
    scored: Iterable[Mapping],
    cases: Iterable[Case],
    predictions: str | PathLike,
    notice: str = "",
) -> dict[str, Path]:
    """Draws each scored case with its truth as `<id>.png`.

    Args:
        folder: where the pictures go.
        scored: `Report.cases`: id and Dice.
        cases: where the CTs and labels are; those that were not scored are left out.
        predictions: folder of `<id>.nii.gz`.
        notice: what must be said with every picture.

    Returns:
        id -> the picture.

    Raises:
        InputError: a file that cannot be read, or masks on another grid than the CT.
    """
    known = {case.id: case for case in cases if case.label is not None}
    drawn = {}
    for scores in scored:
        case = known.get(scores["id"])
        if case is not None:
            path = Path(folder) / f"{case.id}.png"
            mask, dice = Path(predictions) / f"{case.id}.nii.gz", scores["phase2"]
            text = f"Dice: kidney {dice['kidney']:.3f}, tumour {dice['tumour']:.3f}"
            draw_case(path, case, mask, text, notice)
            drawn[case.id] = path
    return drawn


def draw_case(
    path: str | PathLike,
    case: Case,
    mask_path: Path,
    text: str,
    notice: str = "",
    look_at: Callable | None = None,
) -> None:
    """Draws one case with its truth.

    Args:
        path: the PNG.
        case: where the CT and the label are.
        mask_path: the prediction.
        text: stands after the case's name.
        notice: what must be said with the picture.
        look_at: (mask, label) -> non-zero inside the part to look at, or None; by
            default the largest sections of the tumour, else of the kidneys.

    Raises:
        InputError: a file that cannot be read, or masks on another grid than the CT.
    """
    ct, label = read_ct(case.image).volume, read_labels(case.label).volume
    mask = read_labels(mask_path, (0, 1, 2)).volume
    image, mask = aligned(ct, mask, case.image, mask_path)
    image, label = aligned(image, label, case.image, case.label)
    case_picture(
        path,
        image,
        mask.array,
        label.array,
        title=case.id,
        subtitle=text,
        notice=notice,
        look_at=look_at and look_at(mask.array, label.array),
    )

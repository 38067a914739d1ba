"""Where the true label maps and the predicted masks of a folder are."""

from __future__ import annotations

from pathlib import Path

from vnet_jax.ct.nifti import is_nifti_name, stem
from vnet_jax.errors import InputError

ENDINGS = (".nii.gz", ".nii")


def find_labels(folder: str | Path) -> dict[str, Path]:
    """Finds label maps: id -> file, in the order of the ids.

    Args:
        folder: a KiTS19 tree (`case_00000/segmentation.nii.gz`; images need not be
            there), or a clone of its or KiTS23's repository; an nnU-Net raw folder, of
            which `labelsTr` and `labelsTs` are read; or a folder of `<id>.nii.gz`.

    Raises:
        InputError: no such folder, or no label map in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "check --labels")
    parts = [p for p in (folder / "labelsTr", folder / "labelsTs") if p.is_dir()]
    trees = (folder, folder / "data", folder / "dataset")
    found = next((tree for tree in map(_tree, trees) if tree), {})
    if not found:
        found = {stem(f): f for part in parts or [folder] for f in nifti_files(part)}
    if not found:
        raise InputError(
            folder,
            "holds no label maps",
            "expected case_*/segmentation.nii.gz, labelsTr/*.nii.gz or *.nii.gz",
        )
    return dict(sorted(found.items()))


def nifti_files(folder: Path) -> list[Path]:
    """The NIfTI files of a folder itself, hidden ones left out."""
    files = (f for f in folder.iterdir() if is_nifti_name(f) and f.is_file())
    return [f for f in files if not f.name.startswith(".")]


def nifti_named(folder: Path, name: str) -> Path | None:
    """The file `<name>.nii.gz` or `<name>.nii` of a folder, None where neither is."""
    files = (folder / f"{name}{ending}" for ending in ENDINGS)
    return next((file for file in files if file.is_file()), None)


def _tree(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    cases = [case for case in folder.iterdir() if case.is_dir()]
    found = {case.name: nifti_named(case, "segmentation") for case in cases}
    return {name: file for name, file in found.items() if file is not None}

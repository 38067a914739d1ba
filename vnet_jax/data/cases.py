"""Which CTs lie in a folder, and which label belongs to which.

Three layouts: the KiTS19 tree (`case_00000/imaging.nii.gz`, `segmentation.nii.gz`), in
which KiTS23 comes, too; nnU-Net's raw folder (`imagesTr/x_0000.nii.gz`,
`labelsTr/x.nii.gz`, `dataset.json`); and for inference also one NIfTI file or a folder
of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vnet_jax.ct.files import is_nifti_name, stem
from vnet_jax.errors import InputError

#: Said where a data set is missing.
WHERE_FROM = (
    "KiTS19 comes from https://github.com/neheller/kits19, KiTS23 from "
    "https://github.com/neheller/kits23; "
    "bin/phantom.py makes a synthetic set"
)
ENDINGS = (".nii.gz", ".nii")
CHANNEL = "_0000"  # nnU-Net's name for the first, here the only, channel


@dataclass(frozen=True)
class Case:
    """One CT of a data set, and what belongs to it.

    Attributes:
        id: the patient's name in the data set, unique in it.
        image: the CT. It may be missing on disk: reading it then refuses the case.
        label: its label map, or None for a test case.
        synthetic: True for a phantom, as the `case.json` beside it says.
        labels: what the data set calls its label values, or None where it says nothing.
        cysts: mask of the cysts, which the label map calls kidney, or None.
    """

    id: str
    image: Path
    label: Path | None = None
    synthetic: bool = False
    labels: dict | None = field(default=None, hash=False)
    cysts: Path | None = None


def find_cases(root: str | Path, option: str = "--config.data.root") -> list[Case]:
    """Finds the cases of a data set, KiTS19's tree or nnU-Net's raw folder.

    Args:
        root: the folder; for a clone of KiTS19's repository, it or its `data`, of
            KiTS23's, it or its `dataset`.
        option: the flag that names the folder, for the message when it is missing.

    Returns:
        The cases sorted by id. Those without a label are test cases, as KiTS19's 210
        to 299 are.

    Raises:
        InputError: no such folder, no cases in it, or two of one name.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, "no such folder", f"pass {option}=DIR ({WHERE_FROM})")
    if is_nnunet(root):
        cases = _nnunet_cases(root)
    else:
        trees = (root, root / "data", root / "dataset")
        cases = next((tree for tree in map(_kits_cases, trees) if tree), [])
    if not cases:
        raise InputError(
            root,
            "holds neither case_*/imaging.nii.gz (KiTS19) nor imagesTr/ (nnU-Net)",
            f"pass {option}=DIR ({WHERE_FROM})",
        )
    _refuse_twins(root, ((case.id, case.image) for case in cases))
    return sorted(cases, key=lambda case: case.id)


def find_inputs(path: str | Path) -> list[tuple[str, Path]]:
    """Finds the CTs to segment in a file or a folder.

    Args:
        path: a NIfTI file, a folder of them, or either layout of a data set. Of a
            KiTS19 tree only `imaging` is taken, never a segmentation.

    Returns:
        (stem of the output, file) in the order of the stems, which are unique:
        `x.nii.gz` gives x, `case_00001/imaging.nii.gz` gives case_00001, nnU-Net's
        `x_0000.nii.gz` gives x.

    Raises:
        InputError: nothing there, or two files that would give one output.
    """
    path = Path(path)
    if path.is_file():
        return [(_output_stem(path), path)]
    if not path.is_dir():
        raise InputError(path, "no such file or folder", "check --input")
    files = _input_files(path)
    if not files:
        wrong = "holds no NIfTI file (.nii.gz or .nii) and no DICOM"
        raise InputError(path, wrong, "check --input")
    strip = all(_output_stem(file).endswith(CHANNEL) for file in files)
    found = [
        (_output_stem(file).removesuffix(CHANNEL if strip else ""), file)
        for file in files
    ]
    _refuse_twins(path, found)
    return sorted(found)


def holds_nifti(folder: str | Path) -> bool:
    """Whether `find_inputs` finds a CT in a folder.

    Raises:
        InputError: a data set that is broken.
    """
    return bool(_input_files(Path(folder)))


def is_nnunet(root: Path) -> bool:
    """True for nnU-Net's raw layout."""
    return (root / "imagesTr").is_dir() or (root / "imagesTs").is_dir()


def _input_files(folder: Path) -> list[Path]:
    if is_nnunet(folder):
        parts = (folder / "imagesTr", folder / "imagesTs")
        return [file for part in parts for file in _nifti_files(part)]
    if own := _first(folder, "imaging"):  # one case of a KiTS19 tree
        return [own]
    tree = [case.image for case in _kits_cases(folder) if case.image.exists()]
    return _nifti_files(folder) + tree


def _nifti_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if is_nifti_name(file) and not file.name.startswith(".") and file.is_file()
    )


def _output_stem(file: Path) -> str:
    name = stem(file)
    return file.resolve().parent.name if name == "imaging" else name


def _first(folder: Path, name: str, endings: Iterable[str] = ENDINGS) -> Path | None:
    """The file `name` in `folder` with the first of the endings that is there."""
    files = (folder / f"{name}{ending}" for ending in endings)
    return next((file for file in files if file.is_file()), None)


def _refuse_twins(root: Path, named: Iterable[tuple[str, Path]]) -> None:
    seen: dict[str, Path] = {}
    for name, file in named:
        if name in seen:
            raise InputError(
                root,
                f"{seen[name].name} and {file.name} are both called {name}",
                "keep one of them, or rename one",
            )
        seen[name] = file


def _kits_cases(root: Path) -> list[Case]:
    if not root.is_dir():
        return []
    folders = (folder for folder in sorted(root.iterdir()) if folder.is_dir())
    cases = [case for folder in folders if (case := _kits_case(folder))]
    if cases and not any(case.image.exists() for case in cases):
        raise InputError(
            root,
            f"{len(cases)} folders hold a segmentation, none holds imaging.nii.gz",
            "fetch the images as KiTS19's README says",
        )
    return cases


def _kits_case(folder: Path) -> Case | None:
    """The case of a folder, or None where there is neither an image nor a label."""
    image, label = _first(folder, "imaging"), _first(folder, "segmentation")
    if not (image or label):
        return None
    return Case(
        id=folder.name,
        # A label without its image is a broken download: named, so that it is refused.
        image=image or folder / "imaging.nii.gz",
        label=label,
        synthetic=bool(_json(folder / "case.json").get("synthetic", False)),
        cysts=_first(folder, "cysts") if label else None,
    )


def _nnunet_cases(root: Path) -> list[Case]:
    facts = _json(root / "dataset.json")
    ending = facts.get("file_ending", ".nii.gz")
    if ending not in ENDINGS:
        raise InputError(
            root / "dataset.json", f"file_ending is {ending!r}", "convert to .nii.gz"
        )
    cases = [
        Case(
            id=image.name.removesuffix(f"{CHANNEL}{ending}"),
            image=image,
            label=_nnunet_label(root, part, image, ending),
            labels=facts.get("labels"),
        )
        for part in ("imagesTr", "imagesTs")
        for image in _channels(root / part, ending)
    ]
    return cases


def _channels(folder: Path, ending: str) -> list[Path]:
    files = [file for file in _nifti_files(folder) if file.name.endswith(ending)]
    for file in files:
        if not file.name.endswith(f"{CHANNEL}{ending}"):
            raise InputError(
                file,
                f"its name does not end in {CHANNEL}{ending}",
                "an nnU-Net folder for this program holds one channel, the CT",
            )
    return files


def _nnunet_label(root: Path, part: str, image: Path, ending: str) -> Path | None:
    """The label of an image; those of imagesTs are for scoring, never for training."""
    name = image.name.removesuffix(f"{CHANNEL}{ending}")
    return _first(root / "labelsTr", name, (ending,)) if part == "imagesTr" else None


def _json(path: Path) -> dict:
    """What a JSON file says, {} where there is none."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:  # of JSON or of UTF-8
        raise InputError(path, f"no JSON ({error})", "mend or remove it") from None
    if not isinstance(facts, dict):
        raise InputError(path, "no JSON object", "mend or remove it")
    return facts

"""Masks cleaned anew, without the networks that made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vnet_jax.ct.nifti import read_ct, read_labels, write_mask
from vnet_jax.data.cases import ENDINGS, find_inputs
from vnet_jax.data.files import write_json
from vnet_jax.data.progress import Progress
from vnet_jax.errors import InputError
from vnet_jax.inference.decision import RAW, labels_of, read_shares, weight_of
from vnet_jax.inference.postprocess import PostProcessing, clean


def raw_masks(folder: str | Path) -> dict[str, Path]:
    """Case -> its mask before post-processing, by name.

    Raises:
        InputError: no such folder, or no such mask in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "check --predictions")
    found = {
        path.name.removesuffix(RAW + end): path
        for end in ENDINGS
        for path in folder.glob(f"*{RAW}{end}")
    }
    if not found:
        wrong = f"holds no mask named <case>{RAW}.nii.gz"
        raise InputError(folder, wrong, "make them with bin/infer.py --save_raw")
    return dict(sorted(found.items()))


def clean_folder(
    predictions: str | Path,
    data: str | Path,
    out: str | Path,
    rules: PostProcessing,
    shown: bool = True,
) -> tuple[int, list[str]]:
    """Cleans every mask of a folder into another.

    Args:
        predictions: folder of `<case>_raw.nii.gz`; rules with another weight of the
            tumour than they were made with also take `<case>_probability.nii.gz`.
        data: the CTs, as `bin/infer.py --input` takes them.
        out: folder of `<case>.nii.gz`, each with the ledger of what was changed in
            `<case>.json`; not `predictions`.
        rules: what to do.
        shown: whether to show progress.

    Returns:
        How many are there, and one line for each that could not be cleaned.

    Raises:
        InputError: nothing to clean, or `out` is `predictions`.
    """
    masks, out = raw_masks(predictions), Path(out)
    if out.resolve() == Path(predictions).resolve():
        raise InputError(out, "holds the masks to clean", "name another --out")
    scans = {name: path for name, path in find_inputs(Path(data))}
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    with Progress("clean", len(masks), unit="case", shown=shown) as bar:
        for name, path in masks.items():
            try:
                _clean(name, path, scans, out, rules)
            except InputError as error:
                failed.append(str(error))
            bar.advance(note=name)
    return len(masks) - len(failed), failed


def _clean(
    name: str, path: Path, scans: Mapping[str, Path], out: Path, rules: PostProcessing
) -> None:
    if name not in scans:
        raise InputError(path, f"there is no CT of {name}", "check --data")
    raw, ct = read_labels(path).volume, read_ct(scans[name]).volume
    if not raw.grid.same_place(ct.grid):
        raise InputError(path, f"lies on another grid than {scans[name]}")
    labels, made_with = raw.array, weight_of(path.with_name(f"{name}.json"))
    if rules.tumour_weight != made_with:
        labels = labels_of(*read_shares(path, raw), rules.tumour_weight)
    mask, ledger = clean(labels, ct.array, ct.grid, rules)
    write_mask(out / f"{name}.nii.gz", mask, ct.grid)
    facts = {"case": name, "options": {"postprocess": rules.as_dict()}}
    write_json(out / f"{name}.json", {**facts, "ledger": ledger})

"""Every faulty file through what `bin/preprocess.py` and `bin/train.py` read.

The numbers are those of `docs/faults.md`.
"""

import shutil

import numpy as np
import pytest

from tests.faults import files
from vnet_jax.ct.nifti import read_ct, write_mask
from vnet_jax.data.cache import GridSpec, build_cache
from vnet_jax.data.cases import find_cases
from vnet_jax.training.cases import open_new

SPEC = GridSpec((5.0, 3.0, 2.5))
LABEL = np.select([files.HU >= 100, files.HU >= 30], [1, 2]).astype(np.uint8)


def add(root, fault):
    """A case of a faulty CT and a label on its grid."""
    folder = root / fault.name
    path = files.put(fault, folder, "imaging")
    label = folder / "segmentation.nii.gz"
    if fault in files.REFUSED:
        files.put(files.Fault(0, "", files.packed(LABEL), ""), folder, "segmentation")
    else:
        grid = read_ct(path).volume.grid
        write_mask(label, np.ones(grid.shape, np.uint8), grid)
    return folder


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A tree of cases that are refused and three that are not."""
    root = tmp_path_factory.mktemp("refused")
    for fault in [*files.REFUSED, *files.SAME[:3]]:
        add(root, fault)
    return root


def check_lines(errors, root):
    lines = {error.path.split("/")[-2]: str(error) for error in errors}
    for fault in files.REFUSED:
        line = lines.pop(fault.name)
        assert line.startswith(str(root / fault.name)) and "\n" not in line
        assert fault.word in line and "; " in line, line
    assert not lines


def test_preprocess_refuses_each_with_one_line_and_caches_the_others(refused, tmp_path):
    cached, errors = build_cache(find_cases(refused), tmp_path, SPEC)
    check_lines(errors, refused)
    good = sorted(fault.name for fault in files.SAME[:3])
    assert sorted(case.id for case in cached) == good
    left = {p.name.split(".")[0] for p in tmp_path.rglob("*.*") if p.is_file()}
    assert sorted(left) == good


def test_training_leaves_them_out_and_divides_the_others(refused, tmp_path):
    numbers = dict(seed=0, folds=3, fold=0, test=0)
    cases = open_new(str(refused), str(tmp_path), SPEC, **numbers)
    check_lines(cases.refused, refused)
    used = [case.id for case in cases.train + cases.validation]
    assert sorted(used) == sorted(fault.name for fault in files.SAME[:3])


def test_the_same_ct_gives_the_same_voxels_and_the_rest_is_told(tmp_path):
    root = tmp_path / "cases"
    for fault in files.SAME + files.READ:
        add(root, fault)
    cached, errors = build_cache(find_cases(root), tmp_path / "cache", SPEC)
    assert errors == []
    found = {case.id: case for case in cached}
    for fault in files.SAME:
        np.testing.assert_array_equal(found[fault.name].image, files.HU, fault.name)
    for fault in files.SAME + files.READ:
        lines = found[fault.name].header["warnings"]
        assert any(fault.word in line for line in lines) or not fault.word, fault
    np.testing.assert_array_equal(
        found["scaled_once"].image, files.EVEN.clip(-1024, None)
    )
    assert (found["few_nan"].image.ravel() == -1024).sum() >= 20


def moved(affine) -> None:
    affine[0, 3] += 0.01


LABELS = [
    files.Fault(24, "other_shape", files.packed(LABEL[:-1]), "voxels, its image"),
    files.Fault(
        24, "moved", files.packed(LABEL, files.placed(moved)), "0.01 mm off its image"
    ),
    *(
        files.Fault(25, f"value_{value}", files.packed(array), f"values {value:g};")
        for value in (255, 1.5, -1, 3)
        for array in [np.where(LABEL == 2, np.float32(value), LABEL)]
    ),
    files.Fault(2, "cut_label", files.packed(LABEL)[:-40], "truncated"),
]
GOOD = [
    files.Fault(25, "uint16", files.packed(LABEL.astype(np.uint16)), ""),
    files.Fault(25, "float", files.packed(LABEL.astype(np.float32)), ""),
    files.Fault(26, "no_tumour", files.packed(np.minimum(LABEL, 1)), ""),
    files.Fault(26, "empty_label", files.packed(LABEL * 0), ""),
]


def test_labels_that_do_not_belong_or_hold_other_values(tmp_path):
    root = tmp_path / "cases"
    for fault in LABELS + GOOD:
        files.put(files.SAME[0], root / fault.name, "imaging")
        files.put(fault, root / fault.name, "segmentation")
    numbers = dict(seed=0, folds=2, fold=0, test=0)
    cases = open_new(str(root), str(tmp_path / "cache"), SPEC, **numbers)
    lines = {error.path.split("/")[-2]: str(error) for error in cases.refused}
    assert sorted(lines) == sorted(fault.name for fault in LABELS)
    for fault in LABELS:
        assert "segmentation.nii.gz: " in lines[fault.name]
        assert fault.word in lines[fault.name], lines[fault.name]
    used = {case.id: case for case in cases.train + cases.validation}
    assert sorted(used) == sorted(fault.name for fault in GOOD)
    assert used["empty_label"].header["foreground_box"] is None
    for name in ("uint16", "float"):
        np.testing.assert_array_equal(used[name].label, LABEL)


def test_a_source_is_never_written(tmp_path):
    root = tmp_path / "cases"
    for fault in files.SAME[:2]:
        add(root, fault)
    paths = sorted(root.rglob("*.nii*"))
    before = [path.read_bytes() for path in paths]
    for path in paths:
        path.chmod(0o444)
        path.parent.chmod(0o555)
    build_cache(find_cases(root), tmp_path / "cache", SPEC)
    assert [path.read_bytes() for path in paths] == before
    for path in paths:
        path.parent.chmod(0o755)
    shutil.rmtree(root)

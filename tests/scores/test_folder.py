import json

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid, Volume, from_canonical
from vnet_jax.ct.nifti import write_mask
from vnet_jax.errors import InputError
from vnet_jax.scores import folder
from vnet_jax.scores.case import aligned, read_box
from vnet_jax.scores.folder import compare, score_folder, summarise
from vnet_jax.scores.labels import find_labels

AFFINE = np.array([[0, 0, -2, 50], [0, -2, 0, 60], [-3, 0, 0, 70], [0, 0, 0, 1.0]])
GRID = Grid((6, 8, 10), AFFINE)


def truth(tumour=True):
    label = np.zeros(GRID.shape, np.uint8)
    label[1:4, 2:6, 2:6] = 1  # 48 voxels
    if tumour:
        label[1:3, 2:4, 2:4] = 2  # 8 of them
    return label


def write(path, mask, grid=GRID):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask(path, mask, grid)


@pytest.fixture
def tree(tmp_path):
    for name in ("case_00000", "case_00001"):
        write(tmp_path / "truth" / name / "segmentation.nii.gz", truth())
        write(tmp_path / "masks" / f"{name}.nii.gz", truth())
    return tmp_path


def score(tree, **options):
    return score_folder(tree / "masks", tree / "truth", **options)


def test_scores_by_hand(tree):
    half = truth()
    half[1:3, 2:4, 2:3] = 1  # 4 of 8 tumour voxels: Dice 2 * 4 / 12
    write(tree / "masks" / "case_00001.nii.gz", half)
    report = score(tree)
    first, second = report.cases
    assert first["phase2"] == dict(kidney=1, tumour=1, mean=1, kidney_alone=1)
    assert second["phase2"]["tumour"] == pytest.approx(2 / 3)
    assert second["phase2"]["kidney"] == 1
    # class 1: 44 predicted, 40 true, 40 shared
    assert second["phase2"]["kidney_alone"] == pytest.approx(80 / 84)
    # a voxel of 3 x 2 x 2 mm is 0.012 ml
    assert second["volumes_ml"] == pytest.approx(
        dict(kidney=0.576, tumour=0.048, true_kidney=0.576, true_tumour=0.096)
    )
    tumour = report.summary["phase2"]["tumour"]
    assert tumour["mean"] == pytest.approx(5 / 6)
    assert (tumour["low"], tumour["high"], tumour["n"]) == (pytest.approx(2 / 3), 1, 2)


def test_only_the_named_cases_count(tree):
    write(tree / "truth" / "case_00002" / "segmentation.nii.gz", truth())
    assert score(tree).missing == ["case_00002"]
    report = score(tree, names=["case_00001"])
    assert [case["id"] for case in report.cases] == ["case_00001"]
    assert report.missing == report.extra == []
    with pytest.raises(InputError, match="for any of the 0 labels"):
        score(tree, names=[])


def test_stage_masks_are_stages_and_no_predictions(tree):
    empty = np.zeros(GRID.shape, np.uint8)
    for name in ("case_00000", "case_00001"):
        write(tree / "masks" / f"{name}_phase1.nii.gz", empty)
        write(tree / "masks" / f"{name}_stage1.nii.gz", truth(tumour=False))
    report = score(tree)
    assert report.extra == []
    assert [case["id"] for case in report.cases] == ["case_00000", "case_00001"]
    assert report.cases[0]["phase1"]["kidney"] == 0
    assert report.summary["stage1"]["tumour"]["mean"] == 0
    assert report.summary["stage1"]["kidney"]["mean"] == 1
    assert report.summary["phase2"]["mean"]["mean"] == 1
    assert report.cases[0]["volumes_ml"]["tumour"] == pytest.approx(0.096)


def test_coverage_comes_from_the_summarys_box(tree):
    box = GRID.crop((1, 2, 2), (3, 4, 3))  # 3 of the 4 columns
    summary = {"box": {"affine": box.affine.tolist(), "shape": list(box.shape)}}
    (tree / "masks" / "case_00000.json").write_text(json.dumps(summary))
    (tree / "masks" / "case_00001.json").write_text('{"box": null}')
    report = score(tree)
    assert [case["coverage"] for case in report.cases] == [0.75, 0.0]
    assert report.summary["phase1"]["coverage"]["mean"] == 0.375


def test_without_a_box_in_the_summary_there_is_no_coverage(tree):
    (tree / "masks" / "case_00000.json").write_text("{}")
    assert all("coverage" not in case for case in score(tree).cases)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"box": {"shape": [1, 2, 3]}}', '{"box": {"affine": 1, "shape": 2}}'],
)
def test_a_broken_summary_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    if text == "[]":  # a list tells nothing about a box
        assert read_box(tmp_path / "x.json") == (False, None)
    else:
        with pytest.raises(InputError, match=r"x\.json"):
            read_box(tmp_path / "x.json")


def test_missing_failed_and_extra_are_told_apart(tree):
    write(tree / "truth" / "case_00002" / "segmentation.nii.gz", truth())
    write(tree / "truth" / "case_00003" / "segmentation.nii.gz", truth())
    (tree / "masks" / "case_00003.nii.gz").write_bytes(b"no NIfTI")
    write(tree / "masks" / "case_00210.nii.gz", truth())
    report = score(tree)
    assert [case["id"] for case in report.cases] == ["case_00000", "case_00001"]
    assert report.missing == ["case_00002"]
    assert [case["id"] for case in report.failed] == ["case_00003"]
    assert "case_00003.nii.gz" in report.failed[0]["reason"]
    assert report.extra == ["case_00210"]


def test_other_axis_order_is_scored_exactly(tree):
    ras = np.diag([2.0, 2.0, 3.0, 1.0])
    ras[:3, 3] = (50 - 18, 60 - 14, 70 - 15)  # the far corner of GRID
    turned = from_canonical(truth(), Grid((10, 8, 6), ras))
    write(tree / "masks" / "case_00000.nii.gz", turned, Grid((10, 8, 6), ras))
    case = score(tree).cases[0]
    assert case["phase2"]["mean"] == 1


@pytest.mark.parametrize("moved_mm", [0.0005, 0.01])
def test_a_moved_mask_is_refused_beyond_a_thousandth(tree, moved_mm):
    affine = AFFINE.copy()
    affine[0, 3] += moved_mm
    write(tree / "masks" / "case_00000.nii.gz", truth(), Grid(GRID.shape, affine))
    failed = [case["id"] for case in score(tree).failed]
    assert failed == ([] if moved_mm < 0.001 else ["case_00000"])


def test_another_shape_is_refused_with_both_places():
    small = Volume(np.zeros((6, 8, 9), np.uint8), Grid((6, 8, 9), AFFINE))
    with pytest.raises(InputError, match=r"6 x 8 x 9 .* not 6 x 8 x 10"):
        aligned(small, Volume(truth(), GRID), "mask.nii.gz", "label.nii.gz")


def test_cysts_need_a_class(tree):
    label = truth()
    label[3, 5, 5] = 3
    write(tree / "truth" / "case_00000" / "segmentation.nii.gz", label)
    assert [case["id"] for case in score(tree).failed] == ["case_00000"]
    report = score(tree, classes={0: 0, 1: 1, 2: 2, 3: 1})
    assert report.failed == []
    assert report.cases[0]["phase2"]["mean"] == 1


def test_a_prediction_with_another_class_is_refused(tree):
    write(tree / "masks" / "case_00000.nii.gz", truth() * 2)
    assert "4" in score(tree).failed[0]["reason"]


@pytest.mark.parametrize(
    "place",
    [
        "case_7/segmentation.nii.gz",
        "data/case_7/segmentation.nii",
        "dataset/case_7/segmentation.nii.gz",
        "case_7.nii.gz",
        "labelsTr/case_7.nii.gz",
        "labelsTs/case_7.nii.gz",
    ],
)
def test_each_layout_of_labels(tmp_path, place):
    write(tmp_path / place, truth())
    assert find_labels(tmp_path) == {"case_7": tmp_path / place}


def test_nothing_to_score_is_one_line(tree, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        score_folder(tree / "masks", tmp_path / "nowhere")
    with pytest.raises(InputError, match="no such folder"):
        score_folder(tmp_path / "nowhere", tree / "truth")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no label maps"):
        find_labels(tmp_path / "empty")
    with pytest.raises(InputError, match="for any of the 2 labels"):
        score_folder(tmp_path / "empty", tree / "truth")


def test_no_cases_have_no_means():
    assert summarise([], seed=0) == {}


def test_the_delivered_masks_surface_lesions_and_volumes(tree):
    moved = np.roll(truth(), 1, axis=0)  # by a slice of 3 mm
    write(tree / "masks" / "case_00001.nii.gz", moved)
    write(tree / "masks" / "case_00001_stage1.nii.gz", truth())
    first, second = (report := score(tree)).cases
    same = dict(surface_dice=1.0, hd95_mm=0.0, assd_mm=0.0)
    assert first["surface"] == {"kidney": same, "tumour": same}
    assert second["surface"]["kidney"]["hd95_mm"] == 3
    assert 0 < second["surface"]["tumour"]["surface_dice"] < 1
    summary = report.summary
    assert summary["surface"]["kidney"]["hd95_mm"]["mean"] == 1.5
    assert summary["volumes"]["tumour"]["absolute_ml"]["mean"] == 0
    assert list(summary["volumes"]) == ["kidney", "tumour"]
    # 0.096 ml is below the least tumour
    assert first["lesions"] == {"true": [], "false": []}
    assert summary["detection"]["all"]["sensitivity"] is None
    assert "surface" not in score(tree, surfaces=False).cases[0]


def test_undefined_distances_are_left_out_of_their_means(tree):
    write(tree / "masks" / "case_00001.nii.gz", truth(tumour=False))
    report = score(tree)
    tumour = report.summary["surface"]["tumour"]
    assert report.cases[1]["surface"]["tumour"]["hd95_mm"] is None
    assert (tumour["hd95_mm"]["n"], tumour["surface_dice"]["n"]) == (1, 2)


def test_kits23_reads_cysts_in_both(tree):
    with_cyst = truth()
    with_cyst[3, 4:6, 4:6] = 3
    write(tree / "truth" / "case_00000" / "segmentation.nii.gz", with_cyst)
    write(tree / "masks" / "case_00000.nii.gz", with_cyst)
    report = score(tree, challenge="kits23")
    assert report.failed == []
    first, second = report.cases
    assert list(first["phase2"])[:3] == ["kidney_and_masses", "masses", "tumour"]
    assert set(first["phase2"].values()) == {1.0}
    assert first["volumes_ml"]["masses"] == pytest.approx(0.012 * 12)
    assert second["volumes_ml"]["true_masses"] == pytest.approx(0.012 * 8)
    # KiTS19 counts a predicted cyst as kidney; in its labels there is none.
    assert [case["id"] for case in score(tree).failed] == ["case_00000"]
    classes = {0: 0, 1: 1, 2: 2, 3: 1}
    assert score(tree, classes=classes).cases[0]["phase2"]["kidney_alone"] == 1


def test_two_folders_case_by_case(tree):
    other = tree / "other"
    write(other / "case_00000.nii.gz", truth(tumour=False))
    write(other / "case_00001.nii.gz", truth())
    second = score_folder(other, tree / "truth")
    found = compare(score(tree), second, "other", seed=0)
    assert found["with"] == "other"
    tumour = found["tests"]["dice tumour"]
    assert tumour["difference"]["mean"] == 0.5
    assert (tumour["higher"], tumour["equal"]) == (1, 1)
    # without a predicted tumour case_00000 has no distance to compare
    assert found["tests"]["hd95_mm tumour"]["n"] == 1
    assert found["tests"]["volume_error_ml tumour"]["difference"]["mean"] < 0
    second.cases = []
    with pytest.raises(InputError, match="shares no scored case"):
        compare(score(tree), second, "other", seed=0)


def test_several_processes_give_the_same_report(tree, monkeypatch):
    monkeypatch.setattr(folder, "CASES_A_WORKER", 1)
    (tree / "masks" / "case_00001.nii.gz").write_bytes(b"no NIfTI")
    assert score(tree, workers=2).as_dict() == score(tree).as_dict()

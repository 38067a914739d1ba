import json

import pytest

from vnet_jax.data.cache import GridSpec, build_cache
from vnet_jax.data.cases import find_cases, find_inputs
from vnet_jax.errors import InputError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def nnunet(root, labels=None, ending=".nii.gz"):
    touch(root, f"imagesTr/b_0000{ending}", f"labelsTr/b{ending}")
    touch(root, f"imagesTr/a_0000{ending}", f"labelsTr/a{ending}")
    touch(root, f"imagesTs/z_0000{ending}")
    facts = {"file_ending": ending, "labels": labels or {"background": 0}}
    (root / "dataset.json").write_text(json.dumps(facts))
    return root


def test_kits_tree_with_and_without_labels(tmp_path):
    touch(
        tmp_path,
        "case_00001/imaging.nii.gz",
        "case_00000/imaging.nii.gz",
        "case_00000/segmentation.nii.gz",
        "case_00210/imaging.nii",
        "notes/readme.txt",
        "LICENSE",
    )
    cases = find_cases(tmp_path)
    assert [c.id for c in cases] == ["case_00000", "case_00001", "case_00210"]
    assert cases[0].label == tmp_path / "case_00000" / "segmentation.nii.gz"
    assert cases[1].label is None
    assert cases[2].image.name == "imaging.nii"
    assert not any(c.synthetic for c in cases)


def test_a_clone_of_the_kits_repository(tmp_path):
    touch(tmp_path, "data/case_00000/imaging.nii.gz", "starter_code/utils.py")
    assert [c.id for c in find_cases(tmp_path)] == ["case_00000"]


def test_phantoms_say_so_and_name_their_cysts(tmp_path):
    for name in ("imaging", "segmentation", "cysts"):
        touch(tmp_path, f"case_00000/{name}.nii.gz")
    (tmp_path / "case_00000/case.json").write_text('{"synthetic": true}')
    (case,) = find_cases(tmp_path)
    assert case.synthetic
    assert case.cysts == tmp_path / "case_00000" / "cysts.nii.gz"


def test_a_label_without_its_image_is_named_among_others(tmp_path):
    touch(tmp_path, "a/imaging.nii.gz", "a/segmentation.nii.gz")
    touch(tmp_path, "b/segmentation.nii.gz")
    cases = find_cases(tmp_path)
    assert [c.id for c in cases] == ["a", "b"]
    assert not cases[1].image.exists()


def test_labels_alone_say_what_is_missing(tmp_path):
    touch(tmp_path, "a/segmentation.nii.gz", "b/segmentation.nii.gz")
    with pytest.raises(InputError, match=r"2 folders hold a segmentation, none"):
        find_cases(tmp_path)


def test_nnunet_raw(tmp_path):
    labels = {"background": 0, "kidney": 1, "tumor": 2}
    cases = find_cases(nnunet(tmp_path, labels))
    assert [(c.id, c.label is not None) for c in cases] == [
        ("a", True),
        ("b", True),
        ("z", False),
    ]
    assert cases[0].labels == labels
    assert cases[0].label == tmp_path / "labelsTr" / "a.nii.gz"


def test_nnunet_takes_its_file_ending_from_the_json(tmp_path):
    root = nnunet(tmp_path, ending=".nii")
    touch(root, "labelsTr/a.nii.gz")  # a leftover that dataset.json does not mean
    assert find_cases(root)[0].label.name == "a.nii"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [('{"file_ending": ".png"}', "'.png'"), ("{", "no JSON"), ("[]", "no JSON object")],
)
def test_nnunet_json_that_cannot_be_used(tmp_path, facts, reason):
    root = nnunet(tmp_path)
    (root / "dataset.json").write_text(facts)
    with pytest.raises(InputError, match=reason):
        find_cases(root)


def test_nnunet_with_a_second_channel_is_refused(tmp_path):
    root = touch(nnunet(tmp_path), "imagesTr/a_0001.nii.gz")
    with pytest.raises(InputError, match="one channel"):
        find_cases(root)


def test_one_id_in_both_parts_is_refused(tmp_path):
    root = touch(nnunet(tmp_path), "imagesTs/a_0000.nii.gz")
    with pytest.raises(InputError, match="both called a"):
        find_cases(root)


def test_a_missing_root_says_what_to_pass_in_one_line(tmp_path):
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path / "nowhere")
    line = str(caught.value)
    assert "--config.data.root=DIR" in line
    assert "github.com/neheller/kits19" in line
    assert "\n" not in line
    with pytest.raises(InputError, match="--data=DIR"):
        find_cases(tmp_path / "nowhere", option="--data")


def test_a_folder_of_something_else(tmp_path):
    touch(tmp_path, "pictures/cat.png")
    with pytest.raises(InputError, match="neither"):
        find_cases(tmp_path)


def test_inputs_of_a_single_file(tmp_path):
    touch(tmp_path, "x.nii.gz", "case_00001/imaging.nii.gz")
    assert find_inputs(tmp_path / "x.nii.gz") == [("x", tmp_path / "x.nii.gz")]
    image = tmp_path / "case_00001" / "imaging.nii.gz"
    assert find_inputs(image) == [("case_00001", image)]


def test_inputs_of_a_flat_folder(tmp_path):
    touch(tmp_path, "b.nii", "a.nii.gz", "._a.nii.gz", "notes.txt", "sub/c.nii.gz")
    assert [name for name, _ in find_inputs(tmp_path)] == ["a", "b"]


def test_inputs_of_a_kits_tree_leave_the_truth_alone(tmp_path):
    for case in ("case_00001", "case_00000"):
        for name in ("imaging", "segmentation", "cysts"):
            touch(tmp_path, f"{case}/{name}.nii.gz")
    touch(tmp_path, "case_00002/segmentation.nii.gz")
    found = find_inputs(tmp_path)
    assert [name for name, _ in found] == ["case_00000", "case_00001"]
    assert {path.name for _, path in found} == {"imaging.nii.gz"}
    one = tmp_path / "case_00001"
    assert find_inputs(one) == [("case_00001", one / "imaging.nii.gz")]


def test_inputs_of_nnunet_folders(tmp_path):
    root = nnunet(tmp_path)
    assert [name for name, _ in find_inputs(root)] == ["a", "b", "z"]
    assert [name for name, _ in find_inputs(root / "imagesTs")] == ["z"]


def test_a_channel_suffix_goes_only_when_all_have_it(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a.nii.gz")
    assert [name for name, _ in find_inputs(tmp_path)] == ["a", "a_0000"]


def test_two_inputs_for_one_output_are_refused(tmp_path):
    touch(tmp_path, "a.nii", "a.nii.gz")
    with pytest.raises(InputError, match="both called a"):
        find_inputs(tmp_path)


def test_inputs_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        find_inputs(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no NIfTI"):
        find_inputs(tmp_path)


def test_names_with_spaces_and_other_letters(tmp_path):
    touch(tmp_path, "Fälle 2019/case 0/imaging.nii.gz")
    (case,) = find_cases(tmp_path / "Fälle 2019")
    assert case.id == "case 0"


def test_a_clone_of_kits23(tmp_path):
    touch(
        tmp_path / "dataset",
        "kits23.json",
        "case_00000/imaging.nii.gz",
        "case_00000/segmentation.nii.gz",
        "case_00000/instances/cyst_instance-1_annotation-1.nii.gz",
        "case_00588/imaging.nii.gz",
    )
    for root in (tmp_path, tmp_path / "dataset"):
        cases = find_cases(root)
        assert [case.id for case in cases] == ["case_00000", "case_00588"]
        assert cases[0].label == tmp_path / "dataset/case_00000/segmentation.nii.gz"
        assert cases[1].label is None


def test_a_config_that_does_not_fit_the_named_labels_builds_nothing(tmp_path):
    labels = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    cases = find_cases(nnunet(tmp_path, labels))
    with pytest.raises(InputError, match=r"dataset\.json: .*no class for 3"):
        build_cache(cases, tmp_path / "cache", GridSpec((3, 1, 1)), progress=False)
    assert not (tmp_path / "cache").exists()

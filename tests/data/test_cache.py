import json
import os
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from vnet_jax.data import cached_case
from vnet_jax.data.cache import GridSpec, build_cache, build_caches, root_folder
from vnet_jax.data.cases import find_cases
from vnet_jax.data.prepare import read_source
from vnet_jax.errors import InputError

SPEC = GridSpec((3, 1, 1))
COARSE = GridSpec((3, 1, 1), (1, 4, 4))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "kits"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "kits"


def build(root, folder, specs=(SPEC,), **options):
    options = {"progress": False} | options
    return build_caches(find_cases(root), folder, specs, **options)


def written(folder):
    """Inode of every file in the cache: a file written anew has another one."""
    return {p: p.stat().st_ino for p in folder.rglob("*") if p.is_file()}


def test_a_cached_case_is_mapped_and_says_where_it_is_from(
    add_case, make_anatomy, root, folder, kits_affine
):
    case_folder = add_case()
    (case,), refused = build_cache(find_cases(root), folder, SPEC, progress=False)
    image, label = make_anatomy()
    assert not refused
    assert isinstance(case.image, np.memmap)
    np.testing.assert_array_equal(case.image, image)
    np.testing.assert_array_equal(case.label, label)
    np.testing.assert_allclose(case.grid.affine, kits_affine)
    assert case.id == case.case.id == "case_00000"
    header = case.header
    assert header["source_shape"] == [12, 40, 44]
    assert header["source_spacing_mm"] == pytest.approx([3, 1, 1])
    np.testing.assert_allclose(header["source_affine"], kits_affine)
    own = cached_case.sha256_of(case_folder / "imaging.nii.gz")
    assert header["sources"]["image"]["sha256"] == own
    with pytest.raises(ValueError, match="read-only"):
        case.image[0, 0, 0] = 0


def test_a_test_case_has_no_label(add_case, root, folder):
    add_case(label=None)
    ((case,),), _ = build(root, folder)
    assert case.label is None


def test_two_grids_from_one_reading(add_case, root, folder, monkeypatch):
    add_case("a")
    add_case("b")
    read = []

    def counted(case, values):
        read.append(case.id)
        return read_source(case, values)

    monkeypatch.setattr("vnet_jax.data.cache.read_source", counted)
    (fine, coarse), _ = build(root, folder, (SPEC, COARSE))
    assert read == ["a", "b"]
    assert fine[1].image.shape == (12, 40, 44)
    assert coarse[1].image.shape == (12, 10, 11)
    assert [c.id for c in coarse] == ["a", "b"]


def test_a_second_build_writes_nothing(add_case, root, folder):
    add_case()
    build(root, folder, (SPEC, COARSE))
    before = written(folder)
    build(root, folder, (SPEC, COARSE))
    assert written(folder) == before


def test_only_what_is_missing_is_built(add_case, root, folder):
    add_case("a")
    build(root, folder)
    before = written(folder)
    add_case("b")
    (cases,), _ = build(root, folder)
    assert [c.id for c in cases] == ["a", "b"]
    after = written(folder)
    assert len(after) == 2 * len(before)
    assert before.items() <= after.items()


def test_a_changed_source_is_rebuilt_and_its_old_arrays_go(
    add_case, make_anatomy, root, folder
):
    add_case("a")
    add_case("a.b")  # shares the beginning of its name
    build(root, folder)
    image, _ = make_anatomy()
    image[image == 50] = 45
    add_case("a", image=image)
    (cases,), _ = build(root, folder)
    np.testing.assert_array_equal(cases[0].image, image)
    assert len(list((folder / SPEC.name).iterdir())) == 6


def test_a_changed_label_of_the_same_size_is_noticed(
    add_case, make_anatomy, save_nifti, root, folder
):
    _, label = make_anatomy()
    path = add_case(label=None) / "segmentation.nii"  # not compressed: of one size
    save_nifti(path, label)
    build(root, folder)
    size = path.stat().st_size
    label[5, 14, 10] = 1
    save_nifti(path, label)
    assert path.stat().st_size == size
    ((case,),), _ = build(root, folder)
    np.testing.assert_array_equal(case.label, label)


def test_a_touched_source_is_not_rebuilt_and_not_read_again(
    add_case, root, folder, monkeypatch
):
    path = add_case() / "imaging.nii.gz"
    build(root, folder)
    before = written(folder)
    os.utime(path, ns=(0, 10**9))
    build(root, folder)
    after = written(folder)
    changed = {p.suffix for p in before if before[p] != after[p]}
    assert changed == {".json"}

    def fail(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(cached_case, "sha256_of", fail)
    build(root, folder)


def test_another_format_is_rebuilt(add_case, root, folder):
    add_case()
    build(root, folder)
    path = folder / SPEC.name / "case_00000.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | {"format": cached_case.FORMAT - 1}))
    (case,) = find_cases(root)
    assert cached_case.open_cached(folder / SPEC.name, case, SPEC) is None
    ((rebuilt,),), _ = build(root, folder)
    assert rebuilt.header["format"] == cached_case.FORMAT


@pytest.mark.parametrize("damage", ["no array", "short array", "half header", "spec"])
def test_a_damaged_case_is_rebuilt(add_case, make_anatomy, root, folder, damage):
    add_case()
    build(root, folder)
    (image_path,) = (folder / SPEC.name).glob("*.image.npy")
    header = folder / SPEC.name / "case_00000.json"
    if damage == "no array":
        image_path.unlink()
    elif damage == "short array":
        image_path.write_bytes(image_path.read_bytes()[:-2])
    elif damage == "half header":
        header.write_bytes(header.read_bytes()[:100])
    else:
        other = json.loads(header.read_text())
        other["spec"]["downsample"] = [1, 2, 2]
        header.write_text(json.dumps(other))
    (found,) = find_cases(root)
    assert cached_case.open_cached(folder / SPEC.name, found, SPEC) is None
    ((case,),), refused = build(root, folder)
    assert not refused
    np.testing.assert_array_equal(case.image, make_anatomy()[0])


def test_a_cysts_file_that_appears_is_taken_in(add_case, make_anatomy, root, folder):
    add_case()
    build(root, folder)
    _, label = make_anatomy()
    cysts = np.zeros_like(label)
    cysts[4, 11, 31] = 1
    add_case(cysts=cysts)
    ((case,),), _ = build(root, folder)
    assert sum(case.header["histograms"]["cyst"]) == 1


def bad_tree(add_case, make_anatomy):
    _, label = make_anatomy()
    add_case("a")
    add_case("b", label=label * 3)
    (add_case("c") / "imaging.nii.gz").write_bytes(b"")
    (add_case("d") / "imaging.nii.gz").unlink()
    cut = add_case("e") / "segmentation.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    add_case("f")


@pytest.mark.parametrize("workers", [1, 2])
def test_refused_cases_are_listed_and_the_others_go_on(
    add_case, make_anatomy, root, folder, workers
):
    bad_tree(add_case, make_anatomy)
    (fine, coarse), refused = build(root, folder, (SPEC, COARSE), workers=workers)
    assert [c.id for c in fine] == [c.id for c in coarse] == ["a", "f"]
    named = [error.path.split("/")[-2:] for error in refused]
    assert named == [
        ["b", "segmentation.nii.gz"],
        ["c", "imaging.nii.gz"],
        ["d", "imaging.nii.gz"],
        ["e", "segmentation.nii.gz"],
    ]
    assert all(isinstance(error, InputError) for error in refused)
    assert not any("\n" in str(error) for error in refused)
    assert {p.name.split(".")[0] for p in folder.rglob("*.*") if p.is_file()} == {
        "a",
        "f",
    }


def test_a_refused_case_that_was_mended_comes_in(add_case, make_anatomy, root, folder):
    bad_tree(add_case, make_anatomy)
    build(root, folder)
    add_case("b")
    (cases,), refused = build(root, folder)
    assert [c.id for c in cases] == ["a", "b", "f"]
    assert len(refused) == 3


def test_a_case_whose_source_broke_is_no_longer_used(add_case, root, folder):
    path = add_case() / "imaging.nii.gz"
    build(root, folder)
    path.write_bytes(path.read_bytes()[:-10])
    (cases,), refused = build(root, folder)
    assert cases == []
    assert len(refused) == 1


def test_processes_and_one_process_write_the_same(add_case, root, tmp_path):
    for name in "abc":
        add_case(name)
    build(root, tmp_path / "one")
    build(root, tmp_path / "two", workers=2)
    one, two = (
        {p.name: p.read_bytes() for p in (tmp_path / n / SPEC.name).iterdir()}
        for n in ("one", "two")
    )
    assert one == two


BUILD = """
    import sys
    from vnet_jax.data.cache import GridSpec, build_cache
    from vnet_jax.data.cases import find_cases
    from vnet_jax.errors import InputError
    {before}
    if __name__ == "__main__":
        root, folder = sys.argv[1:]
        try:
            cached, refused = build_cache(find_cases(root), folder, GridSpec((3, 1, 1)))
            print(len(cached), len(refused))
        except InputError as error:
            print(error)
"""


def start(root, folder, before=""):
    code = textwrap.dedent(BUILD.format(before=before))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_build_one_cache(add_case, make_anatomy, root, folder):
    for name in "abcdef":
        add_case(name)
    runs = [start(root, folder) for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=60)
        assert (run.returncode, out) == (0, "6 0\n"), err
    names = [p.name for p in (folder / SPEC.name).iterdir()]
    assert len(names) == 6 * 3
    (cases,), _ = build(root, folder)
    for case in cases:
        np.testing.assert_array_equal(case.image, make_anatomy()[0])


def test_a_full_disk_is_one_line_and_leaves_no_half_case(
    add_case, make_anatomy, root, folder
):
    # A limit on the size of files stands in for a full disk: the image fits no more,
    # so a label may lie there but no header names it.
    add_case("a")
    build(root, folder)
    before = written(folder)
    image, label = make_anatomy((40, 40, 44))
    add_case("b", image=image, label=label)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2)"
    out, err = start(root, folder, limit).communicate(timeout=60)
    assert "the cache cannot be written: File too large" in out, err
    assert out.count("\n") == 1
    assert written(folder) == before
    (cases,), _ = build(root, folder)
    assert [c.id for c in cases] == ["a", "b"]


def test_arrays_whose_header_cannot_be_written_do_not_stay(add_case, root, folder):
    add_case("a")
    header = folder / SPEC.name / "a.json"
    header.mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be written"):
        build(root, folder)
    assert list(header.parent.iterdir()) == [header]


def test_a_folder_that_is_no_folder(add_case, root, tmp_path):
    add_case()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        build(root, tmp_path / "file")


def test_a_worker_that_dies_is_told_in_one_line(add_case, root, folder):
    add_case("a")
    add_case("b")
    # The folder of the root is read anew by each worker; this kills them as they start.
    code = """
        import os, sys
        from vnet_jax.data.cache import GridSpec, build_cache
        from vnet_jax.data.cases import find_cases
        from vnet_jax.errors import InputError
        if __name__ != "__main__":
            os._exit(9)
        try:
            build_cache(find_cases(sys.argv[1]), sys.argv[2], GridSpec((3, 1, 1)), 2)
        except InputError as error:
            print(error)
    """
    script = root.parent / "killed.py"
    script.write_text(textwrap.dedent(code))
    run = subprocess.run(
        [sys.executable, str(script), str(root), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "a worker died" in run.stdout, run.stderr


def test_the_folder_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = root_folder("cache", "data/kits19")
    assert one.parent.name == "cache"
    assert one.name.startswith("kits19-")
    assert len(one.name) == len("kits19-") + 8
    assert one == root_folder("cache", tmp_path / "data" / "kits19" / "")
    assert one != root_folder("cache", "other/kits19")


def test_a_moved_cache_is_still_good(add_case, root, folder, tmp_path):
    add_case()
    build(root, folder)
    shutil.move(folder, tmp_path / "elsewhere")
    (case,) = find_cases(root)
    moved = tmp_path / "elsewhere" / SPEC.name
    assert cached_case.open_cached(moved, case, SPEC) is not None


def test_progress_is_shown(add_case, root, folder, capsys):
    add_case("a")
    add_case("b")
    build(root, folder, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert "2/2" in lines[-1]
    build(root, folder, progress=True)
    assert capsys.readouterr().err == ""

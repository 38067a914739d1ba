import io
import json

import nibabel as nib
import numpy as np
import pytest

from tests.measures.shapes import turned
from vnet_jax.ct.nifti import write_image, write_mask
from vnet_jax.errors import InputError
from vnet_jax.inference import batch, measured
from vnet_jax.inference.given import OWN, parse_labels
from vnet_jax.inference.measure import measure
from vnet_jax.inference.segment import Segmenter


@pytest.fixture
def place(tmp_path, ct, truth):
    """A CT, its mask, and that as 3D Slicer may save it."""
    write_image(tmp_path / "ct.nii.gz", ct.array, ct.grid)
    write_mask(tmp_path / "mask.nii.gz", truth, ct.grid)
    v = turned(truth, ct.grid, (2, 1, 0), (-1, -1, -1))
    small = v.grid.crop((3, 2, 0), (40, 36, 24))
    part = v.array[3:43, 2:38].astype(np.float32)
    nib.Nifti1Image(part, small.affine).to_filename(tmp_path / "slicer.nii.gz")
    return tmp_path


def run(jobs, labels=OWN, **options):
    stream = io.StringIO()
    failed = measured.run(jobs, labels, stream=stream, **options)
    return failed, stream.getvalue()


def measure_one(place, mask, out="out"):
    jobs, bare = measured.plan(place / "ct.nii.gz", place / mask, place / out)
    assert not bare
    assert run(jobs)[0] == []
    return json.loads((place / out / "ct.json").read_text())


def test_it_says_what_inference_says_of_its_own_mask(place, runs, ct):
    segmenter = Segmenter(runs[0], [runs[1]])
    jobs = batch.plan(place / "ct.nii.gz", place / "masks")
    assert batch.run(jobs, segmenter, stream=io.StringIO()) == []
    want = json.loads((place / "masks" / "ct.json").read_text())
    got = measure_one(place, "masks/ct.nii.gz")
    measures = ("volumes_ml", "kidneys", "tumours", "tumour_count", "kidney_median_hu")
    for name in (*measures, "status", "input", "warnings", "schema"):
        assert got[name] == want[name], name
    assert set(got) - {"mask"} == set(want)
    assert len(got["tumours"]) == 1


def test_a_mask_saved_by_another_program_has_the_same_measures(place, ct, truth):
    got, want = measure_one(place, "slicer.nii.gz"), measure(truth, ct)
    for name, value in want.items():
        assert got[name] == json.loads(json.dumps(value)), name
    assert got["mask"]["fit"] == "moved"
    assert got["mask"]["axis_codes"] == "RAS"
    assert got["warnings"] == []
    written = nib.load(place / "out" / "ct.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), truth)
    assert (place / "out" / "ct.png").read_bytes()[:4] == b"\x89PNG"


def test_the_documented_fields_are_those_written(place):
    facts = measure_one(place, "mask.nii.gz")
    docs = measured.Path(__file__).parents[2] / "docs"
    page = (docs / "summary.md").read_text() + (docs / "measures.md").read_text()
    for field in (*facts, *facts["tumours"][0], *facts["kidneys"]["left"]):
        assert f"`{field}`" in page, field
    for group in ("mask", "options"):
        for field in facts[group]:
            assert f"`{field}`" in page, field


def test_unchanged_cases_are_skipped(place):
    jobs, _ = measured.plan(place / "ct.nii.gz", place / "mask.nii.gz", place / "out")
    assert "kidney left" in run(jobs)[1]
    assert "unchanged, skipped" in run(jobs)[1]
    assert "unchanged" not in run(jobs, overwrite=True)[1]
    (place / "out" / "ct.png").unlink()
    labels = parse_labels(["kidney=1", "kidney=2"])
    assert "no tumour" in run(jobs, labels)[1]
    assert (place / "out" / "ct.png").is_file()


def test_a_folder_goes_on_after_a_mask_that_cannot_be_read(place, truth, ct):
    (place / "cts").mkdir()
    (place / "masks").mkdir()
    for name in ("a", "b", "c", "d"):
        write_image(place / "cts" / f"{name}.nii.gz", ct.array, ct.grid)
    write_mask(place / "masks" / "a.nii.gz", truth + 3 * (truth > 0), ct.grid)
    write_mask(place / "masks" / "b.nii.gz", truth, ct.grid)
    (place / "masks" / "c").mkdir()
    for side in ("left", "right"):
        path = place / "masks" / "c" / f"kidney_{side}.nii.gz"
        write_mask(path, (truth > 0).astype(np.uint8), ct.grid)
    jobs, bare = measured.plan(place / "cts", place / "masks", place / "out")
    assert [job.name for job in jobs] == ["a", "b", "c"]
    assert bare == ["d"]
    failed, told = run(jobs)
    assert [job.name for job, _ in failed] == ["a"]
    assert "masks/a.nii.gz: has the label values 4, 5" in failed[0][1]
    assert "c: kidney left 30 ml, right 30 ml, no tumour" in told
    with pytest.raises(InputError, match="label values 4, 5"):
        run(jobs, strict=True)
    only, _ = measured.plan(place / "cts", place / "masks", place / "out", ["b"])
    assert [job.name for job in only] == ["b"]


def test_a_mask_in_the_wrong_place_is_doubted(place, truth, ct):
    moved = np.zeros_like(truth)
    moved[2:20, 0:3, 10:40] = 1
    write_mask(place / "air.nii.gz", moved, ct.grid)
    codes = [w["code"] for w in measure_one(place, "air.nii.gz")["warnings"]]
    assert "mask_misplaced" in codes


def test_what_cannot_be_planned_is_one_line(place):
    ct, mask = place / "ct.nii.gz", place / "mask.nii.gz"
    (place / "cts").mkdir()
    (place / "empty").mkdir()
    (place / "cts" / "ct.nii.gz").write_bytes(ct.read_bytes())
    for image, given, out, wrong in [
        (ct, place / "no.nii.gz", "out", r"no\.nii\.gz: no such file or folder"),
        (place / "no.nii", mask, "out", "check --image"),
        (place / "cts", mask, "out", "one mask, but several CTs"),
        (place / "cts", place / "empty", "out", "holds no mask of a CT in"),
        (ct, mask, "mask.nii.gz", "name a folder as --out"),
        (ct, mask, ".", "would replace an input"),
    ]:
        with pytest.raises(InputError, match=wrong):
            measured.plan(image, given, place / out)
    with pytest.raises(InputError, match="has no mask of x"):
        measured.plan(ct, mask, place / "out", ["x"])


def test_pages_are_written_where_they_are_asked_for(place):
    jobs, _ = measured.plan(place / "ct.nii.gz", place / "mask.nii.gz", place / "out")
    run(jobs)
    assert not (place / "out" / "ct.html").exists()
    assert "its page written" in run(jobs, report=True)[1]
    page = (place / "out" / "ct.html").read_text()
    assert "Exophytic" in page
    assert (place / "out" / "report.html").is_file()
    assert "unchanged, skipped" in run(jobs, report=True)[1]

import io
import json
import re

import numpy as np
import pytest

from vnet_jax.ct.nifti import write_image
from vnet_jax.errors import InputError
from vnet_jax.inference import batch
from vnet_jax.inference.case import Keep
from vnet_jax.inference.segment import Segmenter


@pytest.fixture
def segmenter(runs):
    return Segmenter(runs[0], [runs[1]])


@pytest.fixture
def data(tmp_path, ct):
    """Two CTs, the first with a stray piece of kidney."""
    folder = tmp_path / "patients_smith"
    folder.mkdir()
    hu = ct.array.copy()
    hu[2:4, 30:33, 20:24] = 190
    write_image(folder / "a.nii.gz", hu, ct.grid)
    write_image(folder / "b.nii.gz", ct.array, ct.grid)
    return folder


def run(data, out, segmenter, **options):
    stream = io.StringIO()
    jobs = batch.plan(data, out)
    batch.run(jobs, segmenter, stream=stream, report=True, **options)
    return stream.getvalue()


def rows(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    return re.findall(r"(?s)<tr data-status.*?</tr>", page)


def test_each_case_has_a_page_and_the_folder_one(data, tmp_path, segmenter):
    out = tmp_path / "out"
    run(data, out, segmenter)
    page = (out / "a.html").read_text(encoding="utf-8")
    assert "kidney removed" in page and "Axial CT with the change" in page
    assert 'href="report.html"' in page
    assert ['href="a.html"' in row for row in rows(out)] == [True, False]
    facts = json.loads((out / "a.json").read_text())
    assert facts["timings_s"]["report"] > 0 and "a.html" not in facts["outputs"]
    for name in ("a.html", "b.html", "report.html"):
        text = (out / name).read_text(encoding="utf-8")
        assert "smith" not in re.sub(r"(?s)<script.*?</script>|base64,\S+", "", text)


def test_a_case_that_is_done_gets_a_missing_page_without_the_networks(
    data, tmp_path, segmenter
):
    out = tmp_path / "out"
    run(data, out, segmenter, keep=Keep(raw=True))
    before = (out / "a.html").read_bytes()
    (out / "a.html").unlink()
    mask = (out / "a.nii.gz").stat().st_mtime_ns
    told = run(data, out, segmenter, keep=Keep(raw=True))
    assert "a: unchanged, its page written" in told
    assert "b: unchanged, skipped" in told
    assert (out / "a.nii.gz").stat().st_mtime_ns == mask
    again = (out / "a.html").read_bytes()
    assert len(again) > 0.9 * len(before) and b"Axial CT with the change" in again


def test_the_folders_page_has_cases_of_earlier_runs_and_what_failed(
    data, tmp_path, segmenter
):
    out = tmp_path / "out"
    run(data, out, segmenter)
    (out / "other.json").write_text('{"cases": 3}')
    (data / "a.nii.gz").rename(tmp_path / "a.nii.gz")
    whole = (data / "b.nii.gz").read_bytes()
    (data / "b.nii.gz").write_bytes(whole[: len(whole) // 2])
    run(data, out, segmenter, overwrite=True)
    first, second = rows(out)
    assert 'data-status="complete"' in first and "a.html" in first
    assert 'data-status="failed"' in second and "truncated" in second
    assert "b.nii.gz" in second and "smith" not in second


def test_a_new_mask_leaves_no_page_of_the_old_one(data, tmp_path, segmenter):
    out = tmp_path / "out"
    run(data, out, segmenter)
    jobs = batch.plan(data, out)
    batch.run(jobs, segmenter, stream=io.StringIO(), overwrite=True)
    assert not (out / "a.html").exists()


def test_a_mask_that_the_user_named_stands_alone(data, tmp_path, segmenter):
    run(data / "a.nii.gz", tmp_path / "mask.nii.gz", segmenter)
    assert not (tmp_path / "report.html").exists()
    page = (tmp_path / "mask.html").read_text(encoding="utf-8")
    assert "All cases" not in page


def test_a_case_called_report_is_refused_before_anything_is_done(
    tmp_path, segmenter, ct
):
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data" / "report.nii.gz", ct.array, ct.grid)
    with pytest.raises(InputError, match=r"both be report.html; rename it, or pass"):
        run(tmp_path / "data", tmp_path / "out", segmenter)
    assert not (tmp_path / "out").exists()


def test_no_kidney_is_a_page_too(tmp_path, segmenter, ct):
    (tmp_path / "data").mkdir()
    air = np.full_like(ct.array, -1000)
    air[:, 5:35, 5:43] = 0
    write_image(tmp_path / "data" / "c.nii.gz", air, ct.grid)
    run(tmp_path / "data", tmp_path / "out", segmenter)
    assert "No tumour was found" in (tmp_path / "out" / "c.html").read_text("utf-8")
    assert 'data-status="no kidney"' in rows(tmp_path / "out")[0]

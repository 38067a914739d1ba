import csv
import io
import json
from pathlib import Path

import pytest

from tests.inference.visits import write_visit
from vnet_jax.errors import InputError
from vnet_jax.inference import followed
from vnet_jax.reports import followup

ROOT = Path(__file__).parents[2]
MASS = (78, 0, 10)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two folders of two patients; the CTs of one are there."""
    root = tmp_path_factory.mktemp("followed")
    for folder, radius in (("a", 12), ("b", 15)):
        write_visit(root / folder, "<p>", ct=True, tumours=[(MASS, radius)])
        write_visit(root / folder, "q", tumours=[], kidneys=("left",))
    (root / "a" / "notes.json").write_text("{}")
    (root / "b" / "only.json").write_text('{"schema": 3}')
    return root


def run(pairs, **options):
    return followed.run(pairs, stream=io.StringIO(), **options)


def test_a_patient(place, tmp_path):
    dates = ["2024-01-05", "2025-01-04"]
    files = [place / folder / "<p>.json" for folder in ("a", "b")]
    pairs, _ = followed.plan(*files, tmp_path / "out", dates)
    told, failed = run(pairs)
    assert failed == []
    ((name, facts),) = told
    assert name == "comparison"
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == facts
    assert facts["days"] == 365
    assert facts["dates"] == dates
    (row,) = facts["tumours"]
    assert row["diameter_mm"]["a_year"] == pytest.approx(6, abs=1)
    assert (tmp_path / "out" / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "&lt;p&gt;: two dates" in page
    assert "<p>: two dates" not in page
    assert "data:image/png;base64," in page
    assert "not a medical device" in page
    assert str(place) not in page  # where files lie is the affair of the machine
    followup.page(tmp_path / "x.html", facts | {"notice": "synthetic"}, None)
    assert "never seen a patient" in (tmp_path / "x.html").read_text()
    assert "://" not in page
    docs = (ROOT / "docs" / "measures.md").read_text()
    for field in (*facts, *row, *row["ml"], *facts["alignment"]["right"]):
        assert f"`{field}`" in docs, field
    text = followup.as_text(facts)
    assert "1 right, matched" in text
    assert "2024-01-05" in page


def test_it_goes_on_where_it_was(place, tmp_path):
    files = [place / folder / "q.json" for folder in ("a", "b")]
    pairs, _ = followed.plan(*files, tmp_path)
    run(pairs)
    page = tmp_path / "comparison.html"
    page.write_text("mine")
    run(pairs)
    assert page.read_text() == "mine"
    dated, _ = followed.plan(*files, tmp_path, ["2024-01-05", "2025-01-04"])
    run(dated)
    assert page.read_text() != "mine"
    page.write_text("mine")
    run(dated, overwrite=True)
    assert page.read_text() != "mine"
    page.unlink()
    run(dated)
    assert page.is_file()


def test_what_cannot_be_written_is_one_line(place, tmp_path):
    files = [place / folder / "<p>.json" for folder in ("a", "b")]
    pairs, _ = followed.plan(*files, tmp_path)
    (tmp_path / "comparison.html").mkdir()
    told, (line,) = run(pairs)
    assert told == [] and line.startswith(f"{tmp_path / 'comparison.json'}: ")
    assert "check disk and memory" in line
    with pytest.raises(InputError, match="check disk and memory"):
        run(pairs, strict=True)
    assert not (tmp_path / "comparison.json").exists()


def test_folders_with_a_file_of_dates(place, tmp_path):
    dates = tmp_path / "dates.csv"
    dates.write_text("case,before,after\n<p>,2024-01-05,2026-01-05\n")
    pairs, alone = followed.plan(
        place / "a", place / "b", tmp_path / "out", [str(dates)]
    )
    assert [pair.name for pair in pairs] == ["<p>", "q"]
    assert alone == ["only"]
    (place / "b" / "q.nii.gz").rename(place / "b" / "q.away")
    (place / "b" / "q.nii.gz").write_bytes(b"broken")
    try:
        told, failed = run(pairs)
        with pytest.raises(InputError):
            run(pairs, overwrite=True, strict=True)
    finally:
        (place / "b" / "q.away").rename(place / "b" / "q.nii.gz")
    assert [name for name, _ in told] == ["<p>"]
    assert len(failed) == 1
    assert "q.nii.gz" in failed[0]
    told, failed = run(pairs)
    assert [facts["days"] for _, facts in told] == [731, None]
    assert not (tmp_path / "out" / "q.png").exists()
    followed.write_table(tmp_path / "tumours.csv", dict(told))
    with open(tmp_path / "tumours.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["case"], row["side"], row["kind"]) == ("<p>", "right", "matched")
    assert float(row["ml_a_year"]) == pytest.approx(
        told[0][1]["tumours"][0]["ml"]["a_year"], rel=1e-3
    )


def test_without_dates_and_without_tumours(place, tmp_path):
    pairs, _ = followed.plan(place / "a" / "q.json", place / "b" / "q.json", tmp_path)
    ((_, facts),), _ = run(pairs)
    assert facts["tumours"] == []
    assert facts["kidneys"]["right"]["ml"]["before"] is None
    text = followup.as_text(facts)
    assert "Without --dates" in text
    assert "its CT" in text


def test_what_cannot_be_planned_is_one_line(place, tmp_path):
    summary, folder = place / "a" / "<p>.json", place / "a"
    (tmp_path / "bare").mkdir()
    (tmp_path / "d.csv").write_text("name,before\nx,1\n")
    (tmp_path / "e.csv").write_text("case,before,after\n<p>,2024-01-05,soon\n")
    day = "2024-01-05"
    for before, after, dates, wrong in [
        (place / "no", folder, [], "no: no such file or folder"),
        (summary, folder, [], "are a file and a folder"),
        (folder, tmp_path / "bare", [], "holds no summary"),
        (summary, summary, [day], "neither two dates nor a file"),
        (summary, summary, [day, day], "is not after"),
        (summary, summary, [day, "1.2.2025"], "--dates"),
        (summary, summary, [str(tmp_path / "d.csv")], "no columns case"),
        (summary, summary, [str(tmp_path / "e.csv")], "<p>: --dates"),
    ]:
        with pytest.raises(InputError, match=wrong):
            followed.plan(before, after, tmp_path / "out", dates)
    with pytest.raises(InputError, match="holds the summaries"):
        followed.plan(folder, place / "b", folder)
    same = summary.with_name("comparison.json")
    same.write_bytes(summary.read_bytes())
    try:
        with pytest.raises(InputError, match="would replace a summary"):
            followed.plan(same, summary, folder)
    finally:
        same.unlink()

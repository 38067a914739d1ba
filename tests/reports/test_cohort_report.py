import re

import pytest

from tests.reports.scenes import scene, summary
from vnet_jax.reports.cohort_report import cohort_report
from vnet_jax.reports.pictures import case_picture

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def cases(tmp_path):
    """One with a page and a picture, one without kidney, one that failed."""
    ct, mask, _ = scene()
    case_picture(tmp_path / "case_1.png", ct, mask, title="case_1")
    empty = {"review": {"flag": True, "reasons": ["no_kidney"]}, "volumes_ml": {}}
    missed = summary(case="case_2", status="no_kidney", tumours=[], **empty)
    failed = {"case": "case_3", "status": "failed", "reason": "the file is cut"}
    quiet = summary(review={"flag": False, "reasons": []}, warnings=[])
    return [(quiet, "case_1.html"), (missed, "case_2.html"), (failed, "")]


def written(folder, cases):
    cohort_report(folder / "report.html", cases)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_each_case_is_a_row_with_what_one_sorts_by(tmp_path, cases):
    page = written(tmp_path, cases)
    first, second, third = re.findall(r"(?s)<tr data-status.*?</tr>", page)
    assert '<a href="case_1.html">case_1</a>' in first
    assert 'src="data:image/jpeg;base64' in first and "<img" not in second
    assert 'data-value="27.6">28</td>' in first and "data-review" not in first
    assert "data-review" in second and "no kidney was found" in second
    assert "<a " not in third and "the file is cut" in third
    assert 'data-status="failed"' in third and "data-warned" in third
    assert "3 cases: 1 complete, 1 no kidney, 1 failed. To review: 1." in page


def test_a_link_is_good_whatever_the_name_and_a_bad_png_no_matter(tmp_path):
    name = "50% #1? <a>"
    (tmp_path / f"{name}.png").write_bytes(b"no picture")
    page = written(tmp_path, [(summary(case=name), f"{name}.html")])
    assert (
        'href="50%25%20%231%3F%20%3Ca%3E.html"' in page
        and "<img" not in page.split("</table>")[0]
    )


def test_it_shows_how_the_volumes_and_tumours_are_spread(tmp_path, cases):
    page = written(tmp_path, cases)
    assert page.count('<figure class="plot">') == 2
    assert "No case was measured" in written(tmp_path, cases[2:])
    assert "0 cases: none" in written(tmp_path, [])


def test_a_network_is_not_needed_and_names_are_escaped(tmp_path, cases):
    cases.append((summary(case=EVIL, warnings=[{"code": "x", "text": EVIL}]), EVIL))
    page = written(tmp_path, cases)
    assert "alert(1)</script>" not in page and page.count("<script") == 1
    assert not re.search(r"https?://|@import|<link", page)
    assert "smith" not in re.sub(r"base64,\S+", "", page)

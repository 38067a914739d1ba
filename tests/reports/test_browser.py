"""The pages in a real browser, where there is one."""

import pytest

from tests.reports import browser
from tests.reports.scenes import IPL, scene, summary
from vnet_jax.reports import niivue
from vnet_jax.reports.case_report import case_report
from vnet_jax.reports.cohort_report import cohort_report

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium on the PATH"
)
needs_niivue = pytest.mark.skipif(
    niivue.source() is None,
    reason="NiiVue's file was not fetched: python -m vnet_jax.reports.niivue",
)
VIEWER = "document.body.dataset.viewer"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    ct, mask, raw = scene()
    path = tmp_path_factory.mktemp("pages") / "case_1.html"
    case_report(path, ct, mask, summary(), raw=raw)
    return path


def text(page, element):
    return page.run(f"document.getElementById('{element}').textContent")


def from_outside(page):
    return [url for url in page.requests if not url.startswith(("file:", "data:"))]


@needs_niivue
def test_a_case_can_be_looked_through_with_the_keyboard(case):
    with browser.browser() as page:
        page.size(1280, 900)
        page.open(case, VIEWER)
        assert page.run(VIEWER) == "ready", text(page, "no-viewer")
        _the_crosshair_begins_in_the_tumour(page)
        _keys_go_through_the_slices(page)
        _keys_change_the_view_and_the_mask(page)
        _a_click_on_the_change_jumps_there(page)
        _tab_reaches_every_control(page)
        page.size(390, 844, phone=True)
        assert page.run("document.documentElement.scrollWidth") == 390
        page.size(800, 900, media="print")
        seen = "getComputedStyle(document.querySelector('{}')).display"
        assert page.run(seen.format("#viewer")) == "none"
        assert page.run(seen.format(".still")) == "block"
        assert page.errors == [] and from_outside(page) == []


def _the_crosshair_begins_in_the_tumour(page):
    x, y, z = (round(mm) for mm in IPL.to_mm([9.5, 17.5, 11.5]))
    said = text(page, "readout")
    assert "HU, tumour at" in said and 51 <= int(said.split()[0]) <= 69
    found = [int(part.split()[-1]) for part in said.removesuffix(" mm").split(",")[1:]]
    for near, mm, size in zip(found, (x, y, z), (2.5, 3, 5), strict=True):
        assert abs(near - mm) <= size


def _keys_go_through_the_slices(page):
    page.run("document.getElementById('canvas').focus()")
    page.key("1", "Digit1", "1")
    before = text(page, "slice-name")
    page.key("ArrowUp")
    after = text(page, "slice-name")
    assert before.startswith("Axial slice") and int(after.split()[2]) == 1 + int(
        before.split()[2]
    )
    page.key("ArrowDown")
    assert text(page, "slice-name") == before
    page.key("PageUp")
    page.key("Home")
    assert text(page, "slice-name") == before


def _keys_change_the_view_and_the_mask(page):
    pressed = "document.querySelector('[aria-pressed=true][data-view]').textContent"
    for key, name in (
        ("2", "Coronal"),
        ("3", "Sagittal"),
        ("5", "3-D"),
        ("4", "Planes"),
    ):
        page.key(key, f"Digit{key}", key)
        assert page.run(pressed) == name
    page.key("w", "KeyW", "w")
    assert page.run("document.getElementById('window').value") == "Kidney, narrow"
    page.key("m", "KeyM", "m")
    assert page.run("document.getElementById('mask').ariaPressed") == "false"
    page.key("m", "KeyM", "m")


def _a_click_on_the_change_jumps_there(page):
    page.run("document.querySelector('#changes .jump').click()")
    _, _, z = (round(mm) for mm in IPL.to_mm([2.5, 31, 21.5]))
    assert abs(int(text(page, "readout").split()[-2]) - z) <= 5
    page.run("document.querySelector('#tumours .jump').click()")
    assert "tumour" in text(page, "readout")


def _tab_reaches_every_control(page):
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = set()
    for _ in range(40):
        page.key("Tab")
        active = "document.activeElement"
        reached.add(page.run(f"{active}.id || {active}.className || {active}.tagName"))
    assert {"window", "canvas", "slice", "mask", "outline", "opacity"} <= reached
    assert {"swatch", "jump", "SUMMARY"} <= reached


@needs_niivue
def test_without_webgl_the_picture_stays(case):
    with browser.browser("--disable-3d-apis") as page:
        page.size(1280, 900)
        page.open(case, VIEWER)
        assert page.run(VIEWER) == "none"
        assert "no WebGL 2" in text(page, "no-viewer")
        assert page.run("document.getElementById('viewer').hidden")
        assert page.run("document.querySelector('.still').offsetHeight") > 100
        assert page.errors == []


def test_the_cases_sort_and_filter(tmp_path):
    names = ["case_10", "case_9", "case_1"]
    cases = [(summary(case=name), f"{name}.html") for name in names]
    for (facts, _), ml in zip(cases, (5.0, 20.0, 1.0), strict=True):
        facts["volumes_ml"] = {**facts["volumes_ml"], "tumour": ml}
    cases[2][0]["review"] = {"flag": False, "reasons": []}
    cases.append(({"case": "case_2", "status": "failed", "reason": "is cut"}, ""))
    cohort_report(tmp_path / "report.html", cases)
    shown = (
        "Array.from(document.querySelectorAll('#cases tbody tr:not([hidden]) th'))"
        ".map((head) => head.textContent)"
    )
    click = "document.querySelectorAll('#cases thead button')[{}].click()"
    change = (
        "document.getElementById('filters').dispatchEvent("
        "new Event('input', {bubbles: true}))"
    )
    with browser.browser() as page:
        page.size(1280, 900)
        page.open(tmp_path / "report.html", "document.body.dataset.table")
        assert page.run(shown) == [*names, "case_2"]
        page.run(click.format(0))
        assert page.run(shown) == ["case_1", "case_2", "case_9", "case_10"]
        page.run(click.format(5))  # most tumour first; what is not known last
        assert page.run(shown) == ["case_9", "case_10", "case_1", "case_2"]
        page.run(click.format(5))
        assert page.run(shown) == ["case_1", "case_10", "case_9", "case_2"]
        page.run(f"document.getElementById('review').checked = true; {change}")
        assert page.run(shown) == ["case_10", "case_9"]
        page.run(f"document.getElementById('review').checked = false; {change}")
        page.run(f"document.getElementById('text').value = 'CUT'; {change}")
        assert page.run(shown) == ["case_2"] and text(page, "count") == "1 of 4"
        page.size(390, 844, phone=True)
        assert page.run("document.documentElement.scrollWidth") == 390
        assert page.errors == [] and from_outside(page) == []

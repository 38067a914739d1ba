import html
import json
import re

import numpy as np
import pytest

from tests.reports.scenes import IPL, scene, summary
from vnet_jax.reports import case_facts, niivue
from vnet_jax.reports.case_report import case_report
from vnet_jax.reports.ledger_pictures import ledger_pictures

EVIL = '"><script>alert(1)</script>'
#: Stands in for NiiVue: what of it could end the script that it stands in.
SOURCE = 'globalThis.niivue = "</script><!-- <script>";'


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a page of the small scene with the facts given, and reads it."""

    def write(facts, source=SOURCE, **more):
        monkeypatch.setattr(niivue, "source", lambda: source)
        ct, mask, _ = scene()
        case_report(tmp_path / "x.html", ct, mask, facts, **more)
        return (tmp_path / "x.html").read_text(encoding="utf-8")

    return write


def spoken(page):
    """What a reader sees, without scripts and pictures."""
    page = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"(?s)<.*?>", " ", page)).split())


def test_everything_known_is_said(written):
    _, _, raw = scene()
    page = written(summary(), raw=raw, back="report.html")
    text = spoken(page)
    for words in (
        "Please review this case: a volume is uncertain by more than a factor of two; "
        "a new reason.",
        "has never seen a patient",
        "The qform was mended",
        "Research software, not a medical device",
        "Right kidney 28 ml",
        "25 to 35 ml (90 %)",
        "Length of the tissue - 52 mm",
        "1, right 2.4 19 60 25 upper 3.2",
        "Newly measured, mm",
        "kidney removed a piece away from the kidneys 0.90 ml, mean -100 HU",
        "Kidney 0.97 Tumour 0.80 Score 0.89 Calibrated yes Note on 40 cases",
        "Phase 1 p1, steps 7, SHA-256 cdcdcdcdcdcd",
        "Cyst hu 10.0",
        "All together 1 min 01 s",
        "Peak memory 3.00 GiB",
        "Redistributions in binary form must reproduce",
    ):
        assert words in text, words
    assert page.count('<img alt="Axial CT with the change in amber') == 1
    assert 'href="report.html"' in page


def test_no_path_of_the_machine_is_in_it(written):
    assert "smith" not in re.sub(
        r"(?s)<script.*?</script>|base64,\S+", "", written(summary())
    )


def test_a_mask_from_outside_has_no_more_than_its_measures(written):
    kept = ("case", "volumes_ml", "tumour_count", "tumours", "status", "warnings")
    text = spoken(written({name: summary()[name] for name in kept}))
    assert "a mask that was given, measured" in text
    for heading in ("What was mended", "How sure", "Models", "review"):
        assert heading not in text


def test_nothing_found_is_a_page_too(written, tmp_path):
    ct, mask, _ = scene()
    facts = summary(status="no_kidney", tumours=[], tumour_count=0, ledger=[])
    facts["volumes_ml"] = dict.fromkeys(facts["volumes_ml"])
    case_report(tmp_path / "y.html", ct, np.zeros_like(mask), facts)
    text = spoken((tmp_path / "y.html").read_text(encoding="utf-8"))
    assert "Right kidney - not found" in text and "No tumour was found" in text


def test_all_text_is_escaped(written):
    evil = {"run": EVIL, "sha256": EVIL, "steps": [EVIL]}
    page = written(
        summary(
            case=EVIL,
            warnings=[{"code": EVIL, "text": EVIL}],
            review={"flag": True, "reasons": [EVIL]},
            models={"phase1": [evil], "phase2": [evil]},
            options={EVIL: EVIL},
            tumours=[{**summary()["tumours"][0], "side": EVIL, EVIL: EVIL}],
            ledger=[{**summary()["ledger"][0], "rule": EVIL}],
            versions={EVIL: EVIL},
        )
    )
    assert "alert(1)</script>" not in page
    # The two files, two surfaces, settings, NiiVue and the page's own.
    assert page.count("<script") == page.count("</script>") == 7
    assert "\\u003c/script>\\u003c!-- \\u003cscript>" in page


def test_without_niivue_the_page_says_how_to_get_it(written):
    page = written(summary(), source=None)
    assert "python -m vnet_jax.reports.niivue" in page
    assert "<script" not in page and "<img" in page
    assert "Redistributions" not in page


def test_many_changes_are_a_table_after_the_largest(written):
    entries = [{**summary()["ledger"][0], "ml": float(i)} for i in range(15)]
    page = written(summary(ledger=entries))
    assert page.count("data-jump") == 12 + 1  # and once in the script
    assert "3 smaller changes" in page
    assert page.index("14.00 ml") < page.index("13.00 ml")


def settings(page):
    return json.loads(re.search(r'id="settings">(.*?)</script>', page)[1])


def test_places_outside_of_what_is_shown_are_not_offered(written):
    entry = summary()["ledger"][0]
    far = {**entry, "ml": 0.1, "centre_mm": [5000.0, 0, 0]}
    told = settings(written(summary(ledger=[far, entry])))
    assert told["targets"]["changes"] == [entry["centre_mm"], None]
    assert told["first"] == summary()["tumours"][0]["centre_mm"]


def test_without_tumour_one_looks_at_a_kidney_first(written):
    _, mask, _ = scene()
    told = settings(written(summary(tumours=[])))
    index = np.rint(IPL.to_index(told["first"])).astype(int)
    assert mask[tuple(index)] > 0


def test_a_mask_of_another_shape_is_refused_and_nothing_written(tmp_path):
    ct, mask, _ = scene()
    with pytest.raises(ValueError):
        case_report(tmp_path / "x.html", ct, mask[1:], summary())
    assert list(tmp_path.iterdir()) == []


def test_the_ledgers_picture_shows_the_change():
    ct, mask, raw = scene()
    entry = summary()["ledger"][0]
    shown, none = ledger_pictures(ct, mask, raw, [entry, {**entry, "centre_mm": None}])
    (same,) = ledger_pictures(ct, mask, mask, [entry])
    assert shown.startswith(b"\x89PNG") and none is None
    assert shown != same  # the amber


def test_a_change_of_many_or_of_an_unknown_kind_is_told():
    entry = {**summary()["ledger"][0], "components": 7, "from": None, "to": 2}
    assert case_facts.ledger_row({**entry, "rule": "new_rule", "mean_hu": None}) == [
        "new rule (7 of them)",
        "0.90",
        "-",
        "various became tumour",
    ]

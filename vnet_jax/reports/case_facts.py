"""What a summary says, in words and tables: the parts of a case's page that are text.

Every field may be missing: a mask that another program made has no models, no times and
no confidence, and then nothing is said of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from vnet_jax.data.progress import duration
from vnet_jax.reports import pages, tables

RESEARCH = "Research software, not a medical device: not for diagnosis or treatment."
SYNTHETIC = (
    "Trained on synthetic CTs: a model behind this mask has never seen a patient, "
    "and nothing here says how well it does on one."
)
STATUS = {
    "ok": "complete",
    "incomplete": "incomplete",
    "no_kidney": "no kidney",
    "failed": "failed",
}
#: Why a person should look, in words that do not need the manual.
REASONS = {
    "no_kidney": "no kidney was found",
    "incomplete": "the picture cuts the kidney",
    "no_contrast": "the CT seems to be without contrast",
    "box_cut": "the kidney goes on beyond what phase 2 looked at",
    "not_abdomen": "the CT does not look like an abdomen",
    "low_confidence": "the networks are less sure than on the calibration's good cases",
    "wide_interval": "a volume is uncertain by more than a factor of two",
}
RULES = {
    "largest_components": "a piece away from the kidneys",
    "hu_filter": "too dark for a tumour: a cyst",
    "small_tumours": "too small for a tumour",
    "holes": "a hole inside the mask",
}
FITS = {"same": "yes", "moved": "moved there", "resampled": "resampled"}
LABELS = ("background", "kidney", "tumour", "cyst")
#: Fields of a tumour with their heading, unit and digits, in the order of the table.
TUMOUR_FIELDS = {
    "ml": ("Volume", "ml", 1),
    "diameter_mm": ("Longest diameter", "mm", 0),
    "axial_diameter_mm": ("Axial", "mm", 0),
    "axial_perpendicular_mm": ("Across it", "mm", 0),
    "mean_hu": ("Mean", "HU", 0),
    "exophytic_share": ("Exophytic", "%", 0),
    "sinus_fat_mm": ("To the sinus fat", "mm", 1),
    "contact_mm2": ("Contact surface", "mm\u00b2", 0),
    "pole": ("Pole", "", 0),
    "face": ("Face", "", 0),
}
UNITS = {"_mm2": "mm\u00b2", "_mm": "mm", "_ml": "ml", "_hu": "HU", "_share": "%"}
NOT_SHOWN = {"side", "centre_mm", "axial_slice", "axial_ends_mm"}


def warnings(facts: Mapping) -> list[str]:
    """The summary's warnings as sentences."""
    texts = [warning["text"] for warning in facts.get("warnings", ())]
    return [text[:1].upper() + text[1:] for text in texts]


def reasons(facts: Mapping) -> list[str]:
    """Why a person should look at this case; none where nobody need."""
    review = facts.get("review") or {}
    codes = review.get("reasons", ()) if review.get("flag") else ()
    return [REASONS.get(code, code.replace("_", " ")) for code in codes]


def remarks(facts: Mapping) -> list[str]:
    """All that is to be said of a case in a table: each thing once."""
    told = {warning["code"] for warning in facts.get("warnings", ())}
    review = facts.get("review") or {}
    codes = [code for code in review.get("reasons", ()) if code not in told]
    why = [REASONS.get(code, code.replace("_", " ")) for code in codes]
    failed = [str(facts["reason"])] if "reason" in facts else []
    return [*failed, *why, *(warning["text"] for warning in facts.get("warnings", ()))]


def volume_rows(facts: Mapping) -> tuple[list[str], list[list[str]]]:
    """Volumes of each kidney and of the tumours, with intervals where there are any.

    Returns:
        Header and rows of a table.
    """
    volumes = facts.get("volumes_ml") or {}
    intervals = facts.get("intervals_ml") or {}
    spans = {name: intervals.get(name) for name in volumes}
    header, rows = ["", "Right", "Left"], []
    for title, ending in (
        ("Kidney tissue", ""),
        ("Kidney with tumour", "_with_tumour"),
    ):
        names = [f"kidney_{side}{ending}" for side in ("right", "left")]
        rows.append([title, *(_ml(volumes.get(n), spans.get(n)) for n in names)])
    if kidneys := facts.get("kidneys"):
        sides = [kidneys.get(side) or {} for side in ("right", "left")]
        lengths = [_with_unit(side.get("length_mm"), 0, "mm") for side in sides]
        rows.append(["Length of the tissue", *lengths])
    return header, rows


def totals(facts: Mapping) -> dict[str, tuple[str, str]]:
    """The page's main numbers: name -> (number, what it says)."""
    volumes = facts.get("volumes_ml") or {}
    intervals = facts.get("intervals_ml") or {}
    out = {}
    for side in ("right", "left"):  # as on the screen: the patient's right on the left
        name = f"kidney_{side}"
        told = f"{tables.number(volumes.get(name + '_with_tumour'), 0)} ml with tumour"
        value = volumes.get(name)
        found = value is not None
        note = _between(intervals.get(name)) or (told if found else "not found")
        out[f"{side.capitalize()} kidney"] = (_with_unit(value, 0, "ml"), note)
    listed, count = facts.get("tumours") or [], facts.get("tumour_count", 0)
    largest = max((t["diameter_mm"] for t in listed), default=None)
    note = _between(intervals.get("tumour")) or f"{count} found"
    out["Tumour"] = (_with_unit(volumes.get("tumour"), 1, "ml"), note)
    if "cyst" in volumes:
        out["Cysts"] = (_with_unit(volumes["cyst"], 1, "ml"), "in all")
    side = next((t["side"] for t in listed if t["diameter_mm"] == largest), "none")
    out["Longest diameter"] = (_with_unit(largest, 0, "mm"), f"of a tumour, {side}")
    return out


def tumour_rows(listed: Sequence[Mapping]) -> tuple[list[str], list[list[str]]]:
    """A row for each tumour: what is known of it, whatever that is.

    Args:
        listed: `tumours` of a summary; fields that it has and this file does not know
            are shown by their name and unit.

    Returns:
        Header and rows of a table; the first column is the number and the side.
    """
    known = [name for name in TUMOUR_FIELDS if any(name in t for t in listed)]
    more = {n: None for t in listed for n in t if n not in {*TUMOUR_FIELDS, *NOT_SHOWN}}
    shown = {name: TUMOUR_FIELDS[name] for name in known}
    shown |= {name: _guessed(name) for name in more}
    named = [f"{title}, {unit}".rstrip(", ") for title, unit, _ in shown.values()]
    rows = [
        [f"{i}, {t.get('side', '')}"]
        + [_cell(t.get(name), *kind[1:]) for name, kind in shown.items()]
        for i, t in enumerate(listed, 1)
    ]
    return ["Tumour", *named], rows


def ledger_row(entry: Mapping) -> list[str]:
    """One change of the post-processing: why, ml, mean HU, from what to what."""
    what = RULES.get(entry["rule"], entry["rule"].replace("_", " "))
    if entry.get("components", 1) > 1:
        what += f" ({entry['components']} of them)"
    before = entry.get("from")
    before = [before] if isinstance(before, int) else before or ()
    came = " and ".join(_label(value) for value in before) or "various"
    to = entry.get("to", 0)
    change = f"{came} became {_label(to)}" if to else f"{came} removed"
    hu = tables.number(entry.get("mean_hu"), 0)
    return [what, f"{entry['ml']:.2f}", hu, change]


def technical(facts: Mapping) -> list[str]:
    """Models, options, times and versions, as far as the summary has them."""
    parts = []
    for title, pairs in (
        ("The CT", _input(facts.get("input") or {})),
        ("The mask", _input(facts.get("mask") or {})),
        ("Models", _models(facts.get("models") or {})),
        ("Options", _options(facts.get("options") or {})),
        ("Time", _times(facts)),
        ("Versions", {k: str(v) for k, v in (facts.get("versions") or {}).items()}),
    ):
        if pairs:
            parts += [f"<h3>{title}</h3>", pages.facts(pairs)]
    return parts


def confidence(facts: Mapping) -> dict[str, str]:
    """What the networks think of their own mask; empty where nothing is known."""
    found = facts.get("confidence") or {}
    out = {
        name.capitalize(): tables.number(found[name], 2)
        for name in ("kidney", "tumour", "score")
        if name in found
    }
    if found:
        out["Calibrated"] = "yes" if found.get("calibrated") else "no"
    if found.get("note"):
        out["Note"] = str(found["note"])
    return out


def _ml(value: float | None, ends: Sequence[float] | None) -> str:
    text = _with_unit(value, 1, "ml")
    return f"{text}\n{_between(ends)}" if ends else text


def _between(ends: Sequence[float] | None) -> str:
    return f"{tables.span(ends, 0)} ml (90 %)" if ends else ""


def _with_unit(value: float | None, digits: int, unit: str) -> str:
    return tables.NOTHING if value is None else f"{value:.{digits}f} {unit}"


def _cell(value, unit: str, digits: int) -> str:
    if value is None:
        return tables.NOTHING
    if isinstance(value, bool) or isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_cell(v, unit, digits)}" for k, v in value.items())
    if isinstance(value, Sequence):
        return " x ".join(_cell(one, unit, digits) for one in value)
    return f"{value * (100 if unit == '%' else 1):.{digits}f}"


def _guessed(name: str) -> tuple[str, str, int]:
    for ending, unit in UNITS.items():
        if name.endswith(ending):
            return _title(name.removesuffix(ending)), unit, 0 if unit in "%HU" else 1
    return _title(name), "", 1


def _title(name: str) -> str:
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _label(value) -> str:
    known = isinstance(value, int) and 0 <= value < len(LABELS)
    return LABELS[value] if known else str(value)


def _input(found: Mapping) -> dict[str, str]:
    out = {}
    if "shape" in found:
        out["Voxels"] = " x ".join(str(n) for n in found["shape"])
    if "spacing_mm" in found:
        out["Spacing, mm"] = " x ".join(f"{s:.3g}" for s in found["spacing_mm"])
    if "axis_codes" in found:
        out["Axes"] = str(found["axis_codes"])
    if "fit" in found:
        out["On the CT's voxels"] = FITS.get(found["fit"], str(found["fit"]))
    if found.get("sha256"):
        out["SHA-256"] = str(found["sha256"])
    return out


def _models(found: Mapping) -> dict[str, str]:
    """The runs' own names: where they lie is the affair of the machine."""
    out = {}
    for phase in ("phase1", "phase2"):
        for i, model in enumerate(found.get(phase) or (), 1):
            steps = ", ".join(str(s) for s in model.get("steps", ()))
            name = f"Phase {phase[-1]}" + (f", {i}" if i > 1 else "")
            run = PurePath(str(model.get("run", ""))).name
            out[name] = f"{run}, steps {steps}, SHA-256 {str(model.get('sha256'))[:12]}"
    return out


def _options(found: Mapping) -> dict[str, str]:
    out = {}
    for name, value in found.items():
        inner = value if name == "postprocess" else {name: value}
        for key, one in inner.items():
            if one not in (None, False, "", []):
                text = _listed(one)
                out[_title(str(key))] = "yes" if one is True else text
    return out


def _listed(value) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {one}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _times(facts: Mapping) -> dict[str, str]:
    seconds = facts.get("timings_s") or {}
    steps = {"phase1": "Phase 1", "phase2": "Phase 2"}
    out = {steps.get(k, _title(k)): f"{s:.2f} s" for k, s in seconds.items()}
    if seconds:
        out["All together"] = duration(sum(seconds.values()))
    if facts.get("device"):
        out["Device"] = str(facts["device"])
    if facts.get("peak_bytes"):
        out["Peak memory"] = f"{facts['peak_bytes'] / 2**30:.2f} GiB"
    return out

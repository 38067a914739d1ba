"""The part of a page in which one looks through a CT and its mask, with NiiVue.

It needs WebGL 2; where that is missing, or the script fails, the page's picture stays.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.reports import niivue, pages
from vnet_jax.reports.embedded import Embedded, embed
from vnet_jax.reports.pictures import CLASSES, LEVEL_HU, WIDTH_HU
from vnet_jax.reports.surfaces import as_mz3, surface

#: name -> (level, width) in HU.
WINDOWS = {
    "Soft tissue": (LEVEL_HU, WIDTH_HU),
    "Kidney, narrow": (100.0, 200.0),
    "Bone": (400.0, 1800.0),
    "Lung": (-600.0, 1500.0),
}
VIEWS = ("Axial", "Coronal", "Sagittal", "Planes", "3-D")
KEYS = {
    "Arrows up and right, down and left": "next and previous slice; turn the 3-D view",
    "Page up, page down": "ten slices",
    "1 to 5": "axial, coronal, sagittal, all planes, 3-D",
    "W": "next window",
    "M, O": "mask on and off; outline or filled",
    "Home": "back to where the page began",
    "Mouse": "click or drag: crosshair; right button and drag: level and width; "
    "wheel: slices",
}
MISSING = (
    "There is no viewer in this page: NiiVue's file was not there when it was written; "
    f"{niivue.HINT}. Then delete this page and write it again."
)


def web(name: str) -> str:
    """The text of a file of this package's `web` folder."""
    return (resources.files("vnet_jax.reports") / "web" / name).read_text("utf-8")


def viewer(
    volume: Volume, mask: np.ndarray, targets: Mapping[str, Sequence]
) -> tuple[str, str]:
    """The viewer and its scripts.

    Args:
        volume: (D, H, W) HU, any axis order.
        mask: (D, H, W) classes on its grid.
        targets: id of a table -> for each of its rows the place to which a click on it
            jumps, [x, y, z] in mm, or None.

    Returns:
        HTML for the page's body and for its end. The latter is "" where NiiVue's file
        is not there, and the former says so.

    Raises:
        ValueError: when the mask has not the CT's shape.
    """
    source = niivue.source()
    if source is None:
        return pages.paragraph(MISSING), ""
    shown = embed(volume, mask)
    classes = [number for number in CLASSES if (mask == number).any()]
    settings = {
        "windows": WINDOWS,
        "classes": [{"number": n, "colour": CLASSES[n][1]} for n in classes],
        "names": {n: name for n, (name, _, _) in CLASSES.items()},
        "targets": {
            name: [_if_shown(place, shown.grid) for place in places]
            for name, places in targets.items()
        },
        "first": _first(targets, shown),
    }
    surfaces = {n: as_mz3(*surface(mask == n, volume.grid)) for n in classes}
    return _stage(shown, classes), _scripts(source, shown, surfaces, settings)


def _if_shown(place: Sequence | None, grid: Grid) -> Sequence | None:
    """A place that the viewer can go to, or None: what was removed may lie far off."""
    if place is None:
        return None
    index = grid.to_index(place)
    return (
        place if ((index > -0.5) & (index < np.array(grid.shape) - 0.5)).all() else None
    )


def _first(targets: Mapping[str, Sequence], shown: Embedded) -> Sequence:
    """Where one looks first: the largest tumour, else a kidney, else the middle."""
    for place in targets.get("tumours", ())[:1]:
        if _if_shown(place, shown.grid):
            return place
    inside = shown.classes > 0
    if not inside.any():
        return shown.grid.to_mm((np.array(inside.shape) - 1) / 2).tolist()
    z = int(np.argmax(inside.sum(axis=(1, 2))))
    across = np.argwhere(inside[z].T)  # (n, 2): x, y, the patient's left first
    x, y = across[len(across) // 4]
    return shown.grid.to_mm([z, y, x]).tolist()


def _stage(shown: Embedded, classes: Sequence[int]) -> str:
    views = "".join(
        f'<button type="button" data-view="{i}" aria-pressed="false">{name}</button>'
        for i, name in enumerate(VIEWS)
    )
    windows = "".join(f"<option>{html.escape(name)}</option>" for name in WINDOWS)
    legend = "".join(
        f'<button type="button" class="swatch" data-class="{n}" aria-pressed="true" '
        f'style="--colour: {CLASSES[n][1]}">{CLASSES[n][0]}</button>'
        for n in classes
    )
    return f"""<div id="viewer" hidden>
<div class="tools">
<div class="views" role="group" aria-label="View">{views}</div>
<label>Window <select id="window">{windows}</select></label>
</div>
<div class="stage"><canvas id="canvas" role="img"
 aria-label="The CT with its mask; the arrow keys go from slice to slice">
</canvas></div>
<div class="tools">
<label class="slice"><span id="slice-name">Slice</span>
<input id="slice" type="range" min="1" max="2" value="1"></label>
<output id="readout" aria-live="off"></output>
</div>
<div class="tools">
<button type="button" id="mask" aria-pressed="true">Mask</button>
<button type="button" id="outline" aria-pressed="true">Outline</button>
<label>Opacity <input id="opacity" type="range" min="0" max="100" value="15"></label>
<div class="legend" role="group" aria-label="Labels">{legend}</div>
</div>
<p class="small">{html.escape(shown.said)} The patient's right is on the left.</p>
{pages.folded("Keys and mouse", pages.facts(KEYS))}
</div>
<p class="notice" id="no-viewer" hidden></p>"""


def _scripts(source, shown: Embedded, surfaces: Mapping, settings: Mapping) -> str:
    files = {"ct": shown.ct, "labels": shown.mask}
    files |= {f"surface{number}": file for number, file in surfaces.items()}
    data = "\n".join(
        f'<script type="text/plain" id="{name}">{file}</script>'
        for name, file in files.items()
    )
    told = _inert(json.dumps(settings, allow_nan=False))
    return f"""{data}
<script type="application/json" id="settings">{told}</script>
<script>{_inert(source)}</script>
<script>{_inert(web("case.js"))}</script>"""


def _inert(text: str) -> str:
    """JavaScript or JSON that no HTML parser takes for tags: "<" inside of strings."""
    for tag in ("</script", "<script", "<!--"):
        text = text.replace(tag, "\\u003c" + tag[1:])
    return text

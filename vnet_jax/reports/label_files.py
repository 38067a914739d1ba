"""Names and colours of the labels, as 3D Slicer and ITK-SNAP read them.

Formats: Slicer's colour table (.ctbl; its developer guide, "Colors") and ITK-SNAP's
label description. The colours are those of the pictures.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.colors import to_rgb

from vnet_jax.data.files import whole_file
from vnet_jax.reports.pictures import CLASSES

SLICER, ITK_SNAP = "labels_slicer.ctbl", "labels_itksnap.txt"


def rows(classes: int) -> list[tuple[int, str, tuple[int, int, int]]]:
    """Each label with its name and colour.

    Args:
        classes: of the masks, background included: 3, or 4 with cysts.

    Returns:
        (label, name, (red, green, blue) of 0 to 255).
    """
    shown = [(n, *CLASSES[n][:2]) for n in range(1, classes)]
    return [(n, name, _rgb(colour)) for n, name, colour in shown]


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(round(255 * part) for part in to_rgb(colour))


def slicer(classes: int) -> str:
    """A colour table of 3D Slicer: index, name, red, green, blue, opacity."""
    lines = ["# Color table file", "0 background 0 0 0 0"]
    for label, name, (r, g, b) in rows(classes):
        lines.append(f"{label} {name} {r} {g} {b} 255")
    return "\n".join(lines) + "\n"


def itk_snap(classes: int) -> str:
    """A label description of ITK-SNAP.

    Index, red, green, blue, opacity from 0 to 1, shown in slices, shown in 3-D, name.
    """
    lines = ["# ITK-SnAP Label Description File", _snap(0, (0, 0, 0), 0, "Clear Label")]
    for label, name, rgb in rows(classes):
        lines.append(_snap(label, rgb, 1, name))
    return "\n".join(lines) + "\n"


def _snap(label: int, rgb, seen: int, name: str) -> str:
    r, g, b = rgb
    return f'{label:5d} {r:5d} {g:4d} {b:4d} {seen:8d} {seen:2d} {seen:2d}    "{name}"'


def write_label_files(folder: Path, classes: int) -> None:
    """Writes both beside the masks of a folder, once for all of them.

    Args:
        folder: of the masks.
        classes: of the masks, background included.

    Raises:
        OSError: not writable.
    """
    texts = {SLICER: slicer(classes), ITK_SNAP: itk_snap(classes)}
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            with whole_file(path) as file:
                file.write(text.encode())

"""The label files as their programs read them: line by line, field by field."""

import re

from vnet_jax.reports import label_files
from vnet_jax.reports.pictures import CLASSES


def hex_of(rgb):
    return "#" + "".join(f"{int(part):02x}" for part in rgb)


def test_slicers_colour_table_has_the_pictures_colours(tmp_path):
    head, *lines = label_files.slicer(4).splitlines()
    assert head.startswith("# Color table file")
    fields = [line.split(" ") for line in lines]
    assert all(len(f) == 6 for f in fields)  # so no name may hold a space
    assert fields[0] == ["0", "background", "0", "0", "0", "0"]
    for index, name, *rgb, opacity in fields[1:]:
        assert (name, hex_of(rgb)) == CLASSES[int(index)][:2]
        assert opacity == "255"
    assert [f[1] for f in fields] == ["background", "kidney", "tumour", "cyst"]


def test_itk_snaps_description_has_its_eight_fields():
    line = re.compile(
        r"\s*(\d+)" + r"\s+(\d+)" * 3 + r'\s+([\d.]+)\s+([01])\s+([01])\s+"(.*)"'
    )
    head, *lines = label_files.itk_snap(3).splitlines()
    assert head == "# ITK-SnAP Label Description File"
    fields = [line.fullmatch(text).groups() for text in lines]
    assert fields[0] == ("0", "0", "0", "0", "0", "0", "0", "Clear Label")
    for index, *rgb, opacity, slices, mesh, name in fields[1:]:
        assert (name, hex_of(rgb)) == CLASSES[int(index)][:2]
        assert (opacity, slices, mesh) == ("1", "1", "1")
    assert len(fields) == 3


def test_written_once(tmp_path):
    label_files.write_label_files(tmp_path, 3)
    paths = [tmp_path / label_files.SLICER, tmp_path / label_files.ITK_SNAP]
    before = [path.stat().st_ino for path in paths]
    label_files.write_label_files(tmp_path, 3)
    assert [path.stat().st_ino for path in paths] == before
    label_files.write_label_files(tmp_path, 4)
    assert all("cyst" in path.read_text() for path in paths)

import csv

import numpy as np
from matplotlib.image import imread

from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.reports import registration


def columns(path, n):
    """The picture's columns of panels, the words above and below cut off."""
    picture = imread(path)[registration.HEAD_PX + registration.NAME_PX :]
    width = picture.shape[1] // n
    return [picture[:, k * width : (k + 1) * width, :3] for k in range(n)]


def reds(picture):
    """Pixels in the tumour's colour."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return np.count_nonzero((red > 0.8) & (green < 0.5) & (blue < 0.6))


def test_a_column_a_step(tmp_path):
    affine = np.array([[0, 0, -2.0, 0], [0, -2.0, 0, 0], [-4.0, 0, 0, 0], [0, 0, 0, 1]])
    grid = Grid((20, 60, 80), affine)
    label = np.zeros(grid.shape, np.uint8)
    label[5:15, 20:40, 20:40] = 1
    tumour = label.copy()
    tumour[8:12, 25:35, 25:35] = 2
    image = np.where(label > 0, 180, 0).astype(np.int16)
    moved = {"affine": (image, label), "non-rigid": (image, tumour)}
    path = tmp_path / "pair.png"
    registration.picture(path, (Volume(image, grid), label), moved, "case_90000", "x")
    foot = -registration.FOOT_PX - 10
    reference, affine, last = (c[:foot] for c in columns(path, 3))
    assert reds(reference) == reds(affine) == 0
    assert reds(last) > 100


def record(name, accepted):
    quality = {"similarity": 0.5, "tumour_ratio": None} if accepted else {}
    return {
        "name": name,
        "reference": "a|b",
        "floating": "c",
        "accepted": accepted,
        "reason": "" if accepted else "greedy ended with status 1: x, y",
        "quality": quality,
        "usage": {"cpu_s": 2.5} if accepted else {},
    }


def test_tables_hold_every_pair(tmp_path):
    records = [record("case_90000", True), record("case_90001", False)]
    registration.write_tables(tmp_path, records)
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["case_90000", "case_90001"]
    assert rows[0]["similarity"] == "0.5"
    assert rows[0]["cpu_s"] == "2.5"
    assert rows[1]["similarity"] == ""
    assert rows[1]["reason"] == "greedy ended with status 1: x, y"
    head, _, kept, refused = (tmp_path / "pairs.md").read_text().splitlines()
    assert "verdict" in head
    assert kept.rstrip(" |").endswith("kept")
    assert "status 1" in refused

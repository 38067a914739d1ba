import base64
import gzip
import struct

import numpy as np
import pytest

from vnet_jax.ct.geometry import Grid
from vnet_jax.reports import surfaces

RADIUS_MM = 22.0
RIGHT_HANDED = np.diag([1.2, 1.2, 2.0, 1.0])
LEFT_HANDED = np.diag([-1.2, 1.2, 2.0, 1.0])


def ball(affine):
    grid = Grid((60, 60, 40), affine)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    centre = grid.to_mm([29.3, 30.1, 19.7])
    return np.linalg.norm(grid.to_mm(index) - centre, axis=-1) < RADIUS_MM, grid, centre


def volume_ml(vertices, triangles):
    a, b, c = np.moveaxis(vertices[triangles].astype(float), 1, 0)
    return float((a * np.cross(b, c)).sum() / 6000)


@pytest.mark.parametrize("affine", [RIGHT_HANDED, LEFT_HANDED])
def test_a_ball_is_round_closed_and_faces_outwards(affine):
    inside, grid, centre = ball(affine)
    vertices, triangles = surfaces.surface(inside, grid)
    far = np.linalg.norm(vertices - centre, axis=1)
    assert abs(far.mean() - RADIUS_MM) < 0.5 and np.ptp(far) < 2
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, shared = np.unique(edges, axis=0, return_counts=True)
    assert set(shared) == {2}  # closed: each edge has two triangles
    assert volume_ml(vertices - centre, triangles) == pytest.approx(
        4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.05
    )


def test_two_pieces_and_the_edge_of_the_volume_are_closed_too():
    inside = np.zeros((20, 20, 20), bool)
    inside[:5, :5, :5] = inside[12:18, 12:18, 12:18] = True
    grid = Grid(inside.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    vertices, triangles = surfaces.surface(inside, grid)
    expected = (5**3 + 6**3) * 8 / 1000
    assert volume_ml(vertices, triangles) == pytest.approx(expected, rel=0.25)


def test_nothing_inside_is_no_surface_and_much_is_drawn_coarser(monkeypatch):
    vertices, triangles = surfaces.surface(
        np.zeros((4, 4, 4), bool), Grid((4, 4, 4), np.eye(4))
    )
    assert vertices.shape == triangles.shape == (0, 3)
    inside, grid, _ = ball(RIGHT_HANDED)
    fine = surfaces.surface(inside, grid)[1]
    monkeypatch.setattr(surfaces, "SQUARES", len(fine) // 2 - 1)
    assert len(surfaces.surface(inside, grid)[1]) < len(fine)


def test_mz3_holds_the_triangles_and_the_vertices():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1.5, 0]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    data = gzip.decompress(base64.b64decode(surfaces.as_mz3(vertices, triangles)))
    assert data[:2] == b"MZ"
    assert struct.unpack("<HHIII", data[:16])[1:] == (3, 1, 3, 0)
    assert np.frombuffer(data[16:28], "<i4").tolist() == [0, 1, 2]
    assert np.frombuffer(data[28:], "<f4").reshape(3, 3).tolist() == vertices.tolist()

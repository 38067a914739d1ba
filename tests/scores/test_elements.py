import numpy as np
import pytest

from vnet_jax.scores import elements

SPACING = (3.0, 0.5, 2.0)


def area(mask, spacing):
    return elements.find(mask, spacing).areas_mm2.sum()


def test_a_voxel_is_an_octahedron():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    # eight triangles, corners half a voxel from the centre: each edges of sqrt(1/2)
    assert area(mask, (1, 1, 1)) == pytest.approx(8 * np.sqrt(3) / 8)
    # the same where it touches every face of the volume
    assert area(mask[1:2, 1:2, 1:2], (1, 1, 1)) == pytest.approx(np.sqrt(3))
    # with semi-axes a, b, c a triangle has sqrt(a2 b2 + b2 c2 + c2 a2) / 2
    a, b, c = np.square(np.array(SPACING) / 2)
    expected = 8 * np.sqrt(a * b + b * c + c * a) / 2
    assert area(mask, SPACING) == pytest.approx(expected)


def test_a_box_has_its_faces_and_its_cut_edges_and_corners():
    mask = np.ones((4, 5, 6), bool)
    z, y, x = (n - 1 for n in mask.shape)  # cells along a face between its edges
    faces = 2 * (z * y + y * x + x * z)
    edges = 4 * (z + y + x) * np.sqrt(0.5)
    assert area(mask, (1, 1, 1)) == pytest.approx(faces + edges + np.sqrt(3))


def test_mirrors_and_turns_change_no_area():
    rng = np.random.default_rng(0)
    mask = rng.random((5, 6, 7)) < 0.5
    expected = area(mask, SPACING)
    for axis in range(3):
        assert area(np.flip(mask, axis), SPACING) == pytest.approx(expected)
    turned = area(np.moveaxis(mask, 0, 2), (*SPACING[1:], SPACING[0]))
    assert turned == pytest.approx(expected)


def test_inside_and_outside_have_the_same_surface():
    codes = elements.areas_mm2(SPACING)
    np.testing.assert_allclose(codes, codes[::-1])
    assert codes[0] == codes[elements.FULL] == 0
    assert (codes[1:-1] > 0).all()


def test_opposite_corners_of_a_face_are_cut_off_one_by_one():
    both = 1 << 0 | 1 << 3  # (0, 0, 0) and (0, 1, 1)
    codes = elements.areas_mm2((1.0, 1.0, 1.0))
    assert codes[both] == pytest.approx(2 * codes[1])


def test_places_count_from_half_a_voxel_outside():
    found = elements.find(np.ones((1, 1, 2), bool), (1, 1, 1))
    assert found.places.min(axis=0).tolist() == [0, 0, 0]
    assert found.places.max(axis=0).tolist() == [1, 1, 2]
    assert len(elements.find(np.zeros((2, 2, 2), bool), (1, 1, 1))) == 0

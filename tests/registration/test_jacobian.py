import numpy as np
import pytest

from vnet_jax.registration.jacobian import SLICES, determinant, voxel_mm

SPACING_MM = (3.0, 0.8, 0.5)


def grid(depth=6):
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (-9, 4, 2)
    return voxel_mm((depth, 7, 8), affine)


def test_voxels_lie_where_the_affine_says():
    assert grid()[2, 3, 4].tolist() == pytest.approx([-3, 6.4, 4])


@pytest.mark.parametrize("depth", [2, 6, SLICES + 1, 2 * SLICES + 5])
def test_an_affine_transform_has_one_determinant(depth):
    matrix = np.array([[1.1, 0.2, 0], [-0.1, 0.9, 0.3], [0, 0.1, 1.2]], np.float32)
    found = determinant(grid(depth) @ matrix.T + 5, SPACING_MM)
    assert found.shape == (depth, 7, 8)
    np.testing.assert_allclose(found, np.linalg.det(matrix), rtol=1e-4)


def test_a_curved_one_is_that_of_its_derivative():
    positions = grid(40)
    z = positions[..., 0].copy()
    positions[..., 0] = z + 4 * np.sin(z / 20)
    expected = 1 + 4 / 20 * np.cos(z / 20)
    np.testing.assert_allclose(
        determinant(positions, SPACING_MM)[1:-1], expected[1:-1], rtol=2e-3
    )


def test_a_fold_is_negative_and_a_mirror_too():
    positions = grid()
    positions[3, 3, 3] = positions[3, 3, 6]
    assert determinant(positions, SPACING_MM).min() < 0
    assert determinant(grid() * [1, -1, 1], SPACING_MM).max() < 0

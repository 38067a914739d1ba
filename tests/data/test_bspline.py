import itertools

import numpy as np
import pytest
from scipy.interpolate import BSpline

from vnet_jax.data import bspline
from vnet_jax.data.warp import Bend, warp

SPACING_MM = (3.0, 1.0, 1.5)
SHAPE = (9, 21, 12)


def derivative(u):
    """Slopes of the four cubic pieces at u, by hand."""
    return np.array(
        [
            -((1 - u) ** 2) / 2,
            (9 * u**2 - 12 * u) / 6,
            (-9 * u**2 + 6 * u + 3) / 6,
            u**2 / 2,
        ]
    )


def value(u):
    return bspline.weights(2, u, 1.0)[1, :4].astype(float)


def test_weights_are_scipys_cubic_b_spline():
    found = bspline.weights(61, 0.7, 10.0)
    assert found.shape == (61, bspline.grid_shape((61,), (0.7,), 10.0)[0]) == (61, 8)
    for k in range(8):  # point k stands at k - 1
        spline = BSpline.basis_element(np.arange(k - 3, k + 2), extrapolate=False)
        expected = np.nan_to_num(spline(np.arange(61) * 0.07))
        np.testing.assert_allclose(found[:, k], expected, atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def slopes(u, v, w):
    """(64, 3): the gradient of each control point's share at a place of a cell."""
    b = [value(t) for t in (u, v, w)]
    d = [derivative(t) for t in (u, v, w)]
    parts = ([d[0], b[1], b[2]], [b[0], d[1], b[2]], [b[0], b[1], d[2]])
    return np.stack([np.einsum("i,j,k->ijk", *p).ravel() for p in parts], -1)


def test_nothing_folds_below_the_bound_and_something_does_above_it():
    """Choi and Lee 2000: 1 / 2.4795 of the distance in three dimensions.

    With control points that all move along the diagonal, each the way that presses
    most, the Jacobian's determinant is 1 - amount sum |(1, 1, 1) . slope|.
    """
    places = itertools.product(np.linspace(0, 0.999, 21), repeat=3)
    worst = max(places, key=lambda p: np.abs(slopes(*p).sum(1)).sum())
    gradient = slopes(*worst)
    pressing = np.abs(gradient.sum(1)).sum()
    assert pressing == pytest.approx(2.479472, abs=2e-3)

    def determinant(amount):
        moves = -amount * np.sign(gradient.sum(1))[:, None] * np.ones(3)  # (64, 3)
        return np.linalg.det(np.eye(3) + moves.T @ gradient)

    assert determinant(bspline.MOST) > 0 > determinant(0.41)


def test_random_bends_at_the_bound_keep_the_order_of_the_voxels():
    rng, distance_mm = np.random.default_rng(0), 8.0
    shape, spacing = (17, 17, 17), (2.0, 2.0, 2.0)
    along = bspline.weights(17, 2.0, distance_mm)
    points = bspline.grid_shape(shape, spacing, distance_mm)
    for _ in range(5):
        control = bspline.MOST * distance_mm * rng.choice([-1, 1], (3, *points))
        moved = np.einsum("cijk,zi,yj,xk->czyx", control, *[along] * 3)
        jacobian = np.stack([np.gradient(m, 2.0) for m in moved])  # (3, 3, z, y, x)
        jacobian = np.moveaxis(jacobian, (0, 1), (-2, -1)) + np.eye(3)
        assert np.linalg.det(jacobian).min() > 0


def shown(bend, matrix=None):
    """Where each voxel looks, mm from the sample's middle: by warping coordinates."""
    middle = (np.array(SHAPE) - 1) / 2
    places = (np.stack(np.indices(SHAPE), -1) - middle) * SPACING_MM
    label = np.zeros(SHAPE, np.uint8)
    matrix = np.eye(3) if matrix is None else matrix
    images = (places[..., c, None].astype(np.float32) for c in range(3))
    read = [warp(image, label, matrix, SPACING_MM, bend)[0][..., 0] for image in images]
    return places, np.stack(read, -1)


def test_control_points_that_move_alike_move_everything_by_that():
    points = bspline.grid_shape(SHAPE, SPACING_MM, 8.0)
    control = np.ones((3, *points)) * np.array([3.0, -2.0, 1.5])[:, None, None, None]
    places, seen = shown(Bend(control, 8.0))
    inside = seen[:-1, 2:, :-1] - places[:-1, 2:, :-1]
    np.testing.assert_allclose(
        inside, np.broadcast_to([3, -2, 1.5], inside.shape), atol=1e-4
    )


def test_a_bend_is_read_once_with_the_matrix_after_it():
    rng = np.random.default_rng(1)
    points = bspline.grid_shape(SHAPE, SPACING_MM, 8.0)
    control = rng.uniform(-1.5, 1.5, (3, *points))
    matrix = np.array([[0.8, 0.1, 0], [0, 0.7, -0.2], [0.1, 0, 0.8]])
    places, seen = shown(Bend(control, 8.0), matrix)
    weights = [
        bspline.weights(n, s, 8.0) for n, s in zip(SHAPE, SPACING_MM, strict=True)
    ]
    moved = places + np.einsum("cijk,zi,yj,xk->zyxc", control, *weights)
    half = (np.array(SHAPE) - 1) / 2 * SPACING_MM
    expected = np.clip(moved @ matrix.T, -half, half)  # the edge goes on
    np.testing.assert_allclose(seen, expected, atol=1e-4)

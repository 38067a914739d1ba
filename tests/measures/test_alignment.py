import numpy as np
import pytest

from vnet_jax.measures.alignment import Motion, centred, rigid


def turn(axis, degrees):
    axis = np.array(axis) / np.linalg.norm(axis)
    k = np.cross(np.eye(3), axis)
    a = np.radians(degrees)
    return np.eye(3) - np.sin(a) * k + (1 - np.cos(a)) * k @ k


def kidney(seed, n=4000):
    """Points on a bean: an ellipsoid with a dent."""
    rng = np.random.default_rng(seed)
    unit = rng.normal(size=(n, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    points = unit * (25, 20, 55)
    dent = np.exp(-((points - (25, 0, 0)) ** 2).sum(axis=1) / 300)
    return points - dent[:, None] * (14, 0, 0)


def test_a_known_motion_is_found():
    shift = np.array([8.0, -5, 12])
    true = Motion(turn((1, 2, 3), 9), shift, "rigid")
    start = centred((0, 0, 0), true(np.zeros(3)) + 3)  # off by 3 mm along each axis
    found = rigid(kidney(0), true(kidney(1)), start)
    assert found.method == "rigid"
    places = kidney(2, 50)
    assert np.linalg.norm(found(places) - true(places), axis=1).max() < 1.5
    assert found.degrees == pytest.approx(9, abs=1)
    np.testing.assert_allclose(found.back(found(places)), places, atol=1e-9)


def test_a_tumour_that_has_grown_does_not_drag_the_kidney():
    before, after = kidney(0), kidney(1)
    bump = after[:, 2] > 40
    after[bump] += (0, 0, 25)
    found = rigid(before, after, centred(before.mean(axis=0), after.mean(axis=0)))
    places = before[before[:, 2] < 30]
    assert np.linalg.norm(found(places) - places, axis=1).max() < 1.5


def test_what_cannot_be_laid_on_is_left_where_the_centres_put_it():
    start = centred((0, 0, 0), (1, 2, 3))
    assert rigid(kidney(0)[:3], kidney(1), start) is start
    flipped = rigid(kidney(0), kidney(1) @ turn((0, 1, 0), 90).T, start)
    assert flipped.method == "centres"
    np.testing.assert_array_equal(flipped.shift, start.shift)
    assert flipped.residual_mm > 1

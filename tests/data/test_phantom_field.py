import numpy as np
import pytest

from vnet_jax.data.phantom_field import (
    Field,
    Space,
    capsule,
    ellipse,
    ellipsoid,
    rough,
    smooth_line,
    spline_weights,
    stamp_tube,
    united,
)


def nodes(low=-20.0, step=2.0, count=21):
    return Space((low,) * 3, step, (count,) * 3)


def test_spline_weights_at_a_node_and_between_two():
    assert np.allclose(spline_weights(0.0), (1 / 6, 4 / 6, 1 / 6, 0))
    assert np.allclose(spline_weights(0.5), (1 / 48, 23 / 48, 23 / 48, 1 / 48))


def test_a_field_reads_linear_functions_exactly():
    z, y, x = np.meshgrid(*[np.arange(9.0)] * 3, indexing="ij")
    field = Field(2 * z - y + 0.5 * x + 3, (10.0, 20.0, 30.0), 4.0)
    at = (np.array([15.0, 22.3]), np.array([28.0, 30.5, 41.0]), np.array([40.2]))
    iz, iy, ix = ((a - s) / 4 for a, s in zip(at, (10.0, 20.0, 30.0), strict=True))
    want = 2 * iz[:, None, None] - iy[None, :, None] + 0.5 * ix + 3
    assert np.allclose(field.on(*at), want, atol=1e-5)


def test_trimming_keeps_what_is_near_and_its_place():
    values = np.full((12, 12, 12), 30.0)
    values[5, 6, 7] = -3
    field = Field(values, (0, 0, 0), 2.0).trimmed(4.0)
    assert field.values.shape == (5, 5, 5)
    assert field.start_mm == (6.0, 8.0, 10.0)
    assert field.values[2, 2, 2] == -3
    assert Field(values, (0, 0, 0), 2.0).trimmed(-5.0) is None
    assert Field(np.zeros((0, 3, 3)), (0, 0, 0), 2.0).trimmed(4.0) is None


def test_a_ball_is_at_its_exact_distance():
    space = nodes()
    far = np.sqrt(space.z**2 + space.y**2 + space.x**2)
    assert np.allclose(ellipsoid(space.at, (0, 0, 0), (9, 9, 9)), far - 9, atol=0.02)


def test_an_ellipsoid_is_zero_on_its_surface():
    at = (
        np.float32([30, 0, 0, 0]),
        np.float32([0, 20, 0, 0]),
        np.float32([0, 0, 10, 25]),
    )
    sd = ellipsoid(at, (0, 0, 0), (30, 20, 10))
    assert np.allclose(sd[:3], 0, atol=1e-4)
    assert sd[3] > 10


def test_an_ellipse_ignores_z_and_is_exact_for_a_circle():
    y, x = np.float32([3.0, 0.0]), np.float32([4.0, 12.0])
    assert np.allclose(ellipse(y, x, (0, 0), (7, 7)), (5 - 7, 12 - 7), atol=1e-4)


def test_a_capsule_by_hand():
    at = tuple(np.float32(v) for v in ([5, -3, 5], [4, 0, 0], [0, 4, 0]))
    # Beside the middle, beyond the first end, on the axis; radius 1 to 3 over 10 mm.
    sd = capsule(at, (0, 0, 0), (10, 0, 0), 1.0, 3.0)
    assert np.allclose(sd, (4 - 2, 5 - 1, -2))


def test_a_tube_is_the_union_of_its_capsules():
    space = nodes()
    points = np.array([(-12, 0, 0), (0, 5, 0), (0, 5, 12.0)])
    into = np.full(space.shape, np.float32(60))
    stamp_tube(space, into, points, (3, 4, 2), reach_mm=60)
    want = np.minimum(
        capsule(space.at, points[0], points[1], 3, 4),
        capsule(space.at, points[1], points[2], 4, 2),
    )
    assert np.allclose(into, want, atol=1e-5)


def test_a_smooth_line_goes_through_its_points():
    points = np.array([(0, 0, 0), (10, 5, 0), (20, -5, 3), (30, 0, 0)])
    line = smooth_line(points, 4)
    assert line.shape == (13, 3)
    assert np.allclose(line[::4], points)


def test_a_union_is_the_nearer_shape_and_rounded_where_they_meet():
    a, b = np.array([-5.0, 30.0, 2.0]), np.array([30.0, -4.0, 2.0])
    assert np.allclose(united(a, b, 8.0), (-5, -4, 2 - 8 / 4))


def test_roughness_has_the_size_asked_for():
    space = Space((0, 0, 0), 3.0, (60, 60, 60))
    values = rough(np.random.default_rng(0), space, 9.0, 2.5).on(*space.axes())
    assert abs(values.mean()) < 0.15
    assert values.std() == pytest.approx(2.5, rel=0.06)


def test_a_part_of_a_space_is_a_view_of_its_box():
    space = nodes()
    part = space.part(space.box((-4, -4, -4), (4, 4, 4), 0))
    assert part.shape == (5, 5, 5)
    assert part.start_mm == (-4, -4, -4)
    assert np.shares_memory(part.z, space.z)
    assert np.array_equal(part.z[:, 0, 0], (-4, -2, 0, 2, 4))
    outside = space.part(space.box((90, 90, 90), (99, 99, 99), 0))
    assert outside.z.size == 0


def test_the_warp_moves_the_atlas():
    plain = nodes()
    shift = Field(np.full((4, 4, 4), 5.0), (-40, -40, -40), 30.0)
    none = Field(np.zeros((4, 4, 4)), (-40, -40, -40), 30.0)
    space = Space((-20,) * 3, 2.0, (21,) * 3, (shift, none, none))
    assert np.allclose(space.z, plain.z + 5, atol=1e-4)
    assert np.allclose(space.x, plain.x, atol=1e-4)

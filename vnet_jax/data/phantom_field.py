"""Smooth shapes for the phantom: signed distances on coarse grids, drawn finely.

A shape is a function of place that is about the distance to its surface in mm, negative
inside. It is computed on a grid of 2 to 5 mm and read between the nodes with cubic
B-splines, which never overshoot and keep the curvature continuous: that is what makes
25 million voxels affordable, and no contour a polygon.

Places are (z, y, x) in patient mm: z grows to the feet, y to the back, x to the
patient's left; the origin is the centre of the second lumbar vertebra's body.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: A distance in mm that stands for "far outside".
FAR_MM = 60.0


def spline_weights(f):
    """The four weights of a cubic B-spline at a fraction `f` after its second node."""
    last = f**3 / 6
    return (
        (1 - f) ** 3 / 6,
        2 / 3 - f**2 + 3 * last,
        (1 / 3 + f + f**2) / 2 - 3 * last,
        last,
    )


def taps(
    start: float, step: float, count: int, at_mm: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four nodes and weights of a cubic B-spline at places along one axis.

    Args:
        start: place of node 0, mm.
        step: distance of the nodes, mm.
        count: number of nodes; beyond the ends the last node repeats.
        at_mm: (n,) places.

    Returns:
        Four pairs of (n,) node indices and (n,) float32 weights; weights sum to 1.
    """
    t = (np.asarray(at_mm, np.float64) - start) / step
    node = np.floor(t).astype(np.int64)
    return [
        (np.clip(node + k - 1, 0, count - 1), w.astype(np.float32))
        for k, w in enumerate(spline_weights(t - node))
    ]


def along(values: np.ndarray, pairs, axis: int) -> np.ndarray:
    """Reads `values` between its nodes along one axis, with `taps`."""
    shape = [1] * values.ndim
    shape[axis] = -1
    out = None
    for index, weight in pairs:
        part = np.take(values, index, axis=axis)
        part *= weight.reshape(shape)
        out = part if out is None else np.add(out, part, out=out)
    return out


class Field:
    """A smooth function of place: float32 nodes (D, H, W) on a regular grid in mm."""

    def __init__(self, values: np.ndarray, start_mm: Sequence[float], step_mm: float):
        self.values = np.ascontiguousarray(values, np.float32)
        self.start_mm = tuple(float(s) for s in start_mm)
        self.step_mm = float(step_mm)

    def taps(self, axis: int, at_mm: np.ndarray):
        """`taps` of this field's axis."""
        count = self.values.shape[axis]
        return taps(self.start_mm[axis], self.step_mm, count, at_mm)

    def on(self, z_mm: np.ndarray, y_mm: np.ndarray, x_mm: np.ndarray) -> np.ndarray:
        """The values on the grid of three axes, (len z, len y, len x) float32."""
        out = self.values
        for axis, at_mm in enumerate((z_mm, y_mm, x_mm)):
            out = along(out, self.taps(axis, at_mm), axis)
        return out

    def grown(self, by_mm: float) -> Field:
        """A shape whose surface lies this much further out."""
        return Field(self.values - np.float32(by_mm), self.start_mm, self.step_mm)

    def trimmed(self, below_mm: float) -> Field | None:
        """The box of the nodes under `below_mm`, two wider; None if there are none."""
        if not self.values.size:
            return None
        spans = []
        for axis in range(3):
            rest = tuple(a for a in range(3) if a != axis)
            hit = np.flatnonzero(self.values.min(axis=rest) < below_mm)
            if not len(hit):
                return None
            spans.append((max(hit[0] - 2, 0), hit[-1] + 3))
        start = [
            s + self.step_mm * a for s, (a, _) in zip(self.start_mm, spans, strict=True)
        ]
        box = tuple(slice(a, b) for a, b in spans)
        return Field(self.values[box], start, self.step_mm)


def rough(
    rng: np.random.Generator, space: Space, wave_mm: float, amplitude: float
) -> Field:
    """Smooth random numbers over a space: mean 0, standard deviation `amplitude`.

    Args:
        rng: where the numbers come from.
        space: the box to cover.
        wave_mm: distance of the independent nodes.
        amplitude: standard deviation in the field's own unit.
    """
    shape = [int(np.ceil(n * space.step_mm / wave_mm)) + 4 for n in space.shape]
    # A B-spline keeps 0.479 = mean sum of squared weights of the variance an axis.
    values = rng.standard_normal(shape, np.float32) * (amplitude / 0.479**1.5)
    return Field(values, [s - 1.5 * wave_mm for s in space.start_mm], wave_mm)


class Space:
    """Nodes of a regular grid, and where each lies in the anatomical atlas.

    Attributes:
        start_mm: place of node (0, 0, 0).
        step_mm: distance of the nodes.
        shape: number of nodes (D, H, W).
        z, y, x: (D, H, W) float32, atlas place of each node in mm: its own place, moved
            by the warp that makes every patient different.
    """

    def __init__(self, start_mm, step_mm: float, shape, warp: Sequence[Field] = ()):
        self.start_mm = tuple(float(s) for s in start_mm)
        self.step_mm, self.shape = float(step_mm), tuple(int(n) for n in shape)
        axes = self.axes()
        for i, (name, axis) in enumerate(zip("zyx", axes, strict=True)):
            line = axis.reshape([-1 if j == i else 1 for j in range(3)])
            moved = warp[i].on(*axes) if warp else np.zeros(self.shape, np.float32)
            setattr(self, name, moved + line)

    def axes(self) -> list[np.ndarray]:
        """The three axes in mm, float32."""
        pairs = zip(self.start_mm, self.shape, strict=True)
        return [(s + self.step_mm * np.arange(n)).astype(np.float32) for s, n in pairs]

    def box(self, low_mm, high_mm, margin_mm: float = 12.0) -> tuple[slice, ...]:
        """Slices over the nodes between two corners; the margin covers the warp."""
        out = []
        for s, n, a, b in zip(self.start_mm, self.shape, low_mm, high_mm, strict=True):
            first = int(np.floor((a - margin_mm - s) / self.step_mm))
            last = int(np.ceil((b + margin_mm - s) / self.step_mm)) + 1
            out.append(slice(min(max(first, 0), n), max(min(last, n), 0)))
        return tuple(out)

    def part(self, box: tuple[slice, ...]) -> Space:
        """The nodes of a box, as a space of their own (views)."""
        out = object.__new__(Space)
        out.step_mm = self.step_mm
        pairs = zip(self.start_mm, box, strict=True)
        out.start_mm = tuple(s + self.step_mm * b.start for s, b in pairs)
        out.z, out.y, out.x = (a[box] for a in self.at)
        out.shape = out.z.shape
        return out

    @property
    def at(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Atlas places (z, y, x) of the nodes."""
        return self.z, self.y, self.x

    def field(self, values: np.ndarray) -> Field:
        """A field from values on the nodes."""
        return Field(values, self.start_mm, self.step_mm)


def ellipsoid(at, centre_mm, radii_mm) -> np.ndarray:
    """Distance to an ellipsoid's surface, exact on it and to first order near it."""
    k1, k2 = np.zeros_like(at[0]), np.zeros_like(at[0])
    for place, centre, radius in zip(at, centre_mm, radii_mm, strict=True):
        q = (place - np.float32(centre)) * np.float32(1 / radius)
        q *= q
        k1 += q
        k2 += q * np.float32(1 / radius**2)
    return _from_gauges(np.sqrt(k1), np.sqrt(k2), np.float32(min(radii_mm)))


def ellipse(y, x, centre_mm, radii_mm) -> np.ndarray:
    """Distance to an elliptic cylinder along z; centre and radii may be arrays."""
    ry, rx = radii_mm
    a, b = (y - centre_mm[0]) / ry, (x - centre_mm[1]) / rx
    k2 = np.sqrt((a / ry) ** 2 + (b / rx) ** 2)
    return _from_gauges(np.sqrt(a * a + b * b), k2, np.minimum(ry, rx))


def _from_gauges(k1, k2, least) -> np.ndarray:
    """k1 (k1 - 1) / k2, which is 0 / 0 in the middle: there, minus the least radius."""
    small = np.float32(1e-4)
    return (k1 + small) * (k1 - 1) / (k2 + small / least)


def capsule(at, p0, p1, r0: float, r1: float) -> np.ndarray:
    """Distance to a tube from p0 to p1 whose radius goes from r0 to r1, mm."""
    d = np.subtract(p1, p0, dtype=np.float64)
    length2 = max(float(d @ d), 1e-6)
    rel = [a - np.float32(c) for a, c in zip(at, p0, strict=True)]
    t = sum(r * np.float32(v / length2) for r, v in zip(rel, d, strict=True))
    np.clip(t, 0, 1, out=t)
    far2 = sum((r - t * np.float32(v)) ** 2 for r, v in zip(rel, d, strict=True))
    return np.sqrt(far2) - (np.float32(r0) + t * np.float32(r1 - r0))


def stamp_tube(space: Space, into: np.ndarray, points_mm, radii_mm, reach_mm=9.0):
    """Unites a tube along a line of points with the distances in `into` (in place)."""
    radii = np.broadcast_to(radii_mm, (len(points_mm),))
    for p0, p1, r0, r1 in zip(
        points_mm[:-1], points_mm[1:], radii[:-1], radii[1:], strict=True
    ):
        margin = max(r0, r1) + reach_mm
        box = space.box(np.minimum(p0, p1), np.maximum(p0, p1), margin)
        if all(b.stop > b.start for b in box):
            sd = capsule(space.part(box).at, p0, p1, r0, r1)
            np.minimum(into[box], sd, out=into[box])


def smooth_line(points_mm, per_segment: int = 4) -> np.ndarray:
    """A curve through the points (Catmull-Rom), `per_segment` pieces a segment."""
    p = np.asarray(points_mm, np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(per_segment) / per_segment)[:, None]
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, p[-2:-1]])


def united(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """The union of two shapes, its inner edges rounded over `round_mm`."""
    h = np.clip(0.5 + 0.5 * (b - a) / np.float32(round_mm), 0, 1)
    return b + (a - b) * h - np.float32(round_mm) * h * (1 - h)

"""What a phantom is made of: layers of shapes with their coats of HU."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vnet_jax.data.phantom_field import FAR_MM, Field, Space, rough


@dataclass(frozen=True)
class Coat:
    """HU that a layer has deeper than `depth_mm` under its surface.

    Attributes:
        depth_mm: 0 for the whole layer; a second coat at 2.5 is the content of a wall
            of 2.5 mm.
        hu: mean HU.
        texture_hu: standard deviation of the blobs of about 6 mm in it.
        soft_mm: width of the edge beyond the scanner's own, mm.
        strands_hu: what thin septa and small vessels add where they run.
    """

    depth_mm: float
    hu: float
    texture_hu: float = 0.0
    soft_mm: float = 0.0
    strands_hu: float = 0.0


@dataclass(frozen=True, eq=False)
class Raster:
    """A shape given on voxels, as a label map has it.

    Attributes:
        values: (d, h, w) float32, about the distance to its surface, negative inside.
        start: voxel index (z, y, x) of values[0, 0, 0] on the picture's grid.
        z_mm: (D,) places of the picture's slices.
    """

    values: np.ndarray
    start: tuple[int, int, int]
    z_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class Layer:
    """A shape and its coats; later layers are painted over earlier ones.

    Attributes:
        name: what it is, such as "liver".
        field: distance to the surface in mm, negative inside.
        coats: outermost first.
        role: "kidney", "tumour" or "cyst" where the layer decides labels, else "".
    """

    name: str
    field: Field | Raster
    coats: tuple[Coat, ...]
    role: str = ""


@dataclass(frozen=True, eq=False)
class Scene:
    """A body under construction, or a box of it: organs take their places in turn.

    Attributes:
        space: the nodes on which places are given out.
        cavity: (D, H, W) distance to the inner side of the trunk's wall, mm.
        taken: (D, H, W) distance to what stands already, mm; `claim` writes to it.
        layers: what was painted; boxes share the list and the arrays of the whole.
    """

    space: Space
    cavity: np.ndarray
    taken: np.ndarray
    layers: list[Layer] = field(default_factory=list)

    def around(self, low_mm, high_mm, margin_mm: float = 14.0) -> Scene:
        """The box between two corners in atlas mm; empty outside the picture."""
        box = self.space.box(low_mm, high_mm, margin_mm)
        return Scene(
            self.space.part(box), self.cavity[box], self.taken[box], self.layers
        )

    def claim(self, sd: np.ndarray) -> None:
        """Marks the place of a shape as taken."""
        np.minimum(self.taken, sd, out=self.taken)

    def claim_field(self, shape: Field) -> None:
        """Marks the place of a shape that lies on a grid of its own as taken."""
        high = [
            s + shape.step_mm * (n - 1)
            for s, n in zip(shape.start_mm, shape.values.shape, strict=True)
        ]
        box = self.space.box(shape.start_mm, high, -self.space.step_mm)
        part = self.space.part(box)
        np.minimum(self.taken[box], shape.on(*part.axes()), out=self.taken[box])

    def paint(self, name: str, sd: np.ndarray, *coats: Coat) -> None:
        """Adds a layer over the earlier ones, if any of it is in the picture."""
        trimmed = self.space.field(sd).trimmed(4.0)
        if trimmed is not None:
            self.layers.append(Layer(name, trimmed, coats))

    def place(self, name, sd, *coats: Coat, gap_mm=1.0, wall_mm=2.0) -> np.ndarray:
        """Cuts a shape free of what stands and of the wall, paints and claims it."""
        sd = np.maximum(sd, np.float32(gap_mm) - self.taken)
        sd = np.maximum(sd, self.cavity + np.float32(wall_mm))
        self.paint(name, sd, *coats)
        self.claim(sd)
        return sd

    def blank(self) -> np.ndarray:
        """(D, H, W) of "far outside", for tubes to be stamped into."""
        return np.full(self.space.shape, FAR_MM, np.float32)

    def bumps(self, rng, wave_mm: float, size_mm: float) -> np.ndarray:
        """(D, H, W) smooth random numbers that make a surface irregular, mm."""
        return rough(rng, self.space, wave_mm, size_mm).on(*self.space.axes())

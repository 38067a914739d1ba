"""What a phantom is made of: layers of shapes with their coats of HU."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vnet_jax.data.phantom_field import FAR_MM, Field, Space


@dataclass(frozen=True)
class Coat:
    """HU that a layer has deeper than `depth_mm` under its surface.

    Attributes:
        depth_mm: 0 for the whole layer; a second coat at 2.5 is the content of a wall
            of 2.5 mm.
        hu: mean HU.
        texture_hu: standard deviation of the blobs of about 6 mm in it.
        soft_mm: width of the edge beyond the scanner's own, mm.
    """

    depth_mm: float
    hu: float
    texture_hu: float = 0.0
    soft_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class Layer:
    """A shape and its coats; later layers are painted over earlier ones.

    Attributes:
        name: what it is, such as "liver".
        field: distance to the surface in mm, negative inside.
        coats: outermost first.
        role: "kidney", "sinus", "tumour" or "cyst" where the layer decides labels.
    """

    name: str
    field: Field
    coats: tuple[Coat, ...]
    role: str = ""


@dataclass
class Scene:
    """A body under construction: organs are placed one after the other.

    Attributes:
        space: the grid on which places are given out.
        cavity: (D, H, W) distance to the inner side of the trunk's wall, mm.
        taken: (D, H, W) distance to what stands already, mm.
        layers: what was placed.
    """

    space: Space
    cavity: np.ndarray
    taken: np.ndarray
    layers: list[Layer] = field(default_factory=list)

    def free(self, sd: np.ndarray, box, gap_mm: float, wall_mm: float = 2.0):
        """Cuts a shape back to `gap_mm` from what stands and `wall_mm` from the wall."""
        cut = np.maximum(sd, np.float32(gap_mm) - self.taken[box])
        return np.maximum(cut, self.cavity[box] + np.float32(wall_mm))

    def claim(self, sd: np.ndarray, box) -> None:
        """Marks the place of a shape as taken."""
        np.minimum(self.taken[box], sd, out=self.taken[box])

    def claim_field(self, shape: Field) -> None:
        """Marks the place of a shape that lies on a grid of its own as taken."""
        high = [
            s + shape.step_mm * (n - 1)
            for s, n in zip(shape.start_mm, shape.values.shape, strict=True)
        ]
        box = self.space.box(shape.start_mm, high, margin_mm=-self.space.step_mm)
        if all(b.stop > b.start for b in box):
            axes = zip(self.space.axes(), box, strict=True)
            self.claim(shape.on(*(axis[b] for axis, b in axes)), box)

    def paint(self, name, sd, box, coats) -> None:
        """Adds a layer, if any of it is in the picture."""
        trimmed = self.space.field(sd, box).trimmed(4.0)
        if trimmed is not None:
            self.layers.append(Layer(name, trimmed, tuple(coats)))

    def place(self, name, sd, box, coats, gap_mm=2.0, wall_mm=2.0) -> np.ndarray:
        """Cuts a shape free of the others, paints it and takes its place."""
        sd = self.free(sd, box, gap_mm, wall_mm)
        self.paint(name, sd, box, coats)
        self.claim(sd, box)
        return sd

    def blank(self) -> np.ndarray:
        """(D, H, W) of "far outside", for tubes to be stamped into."""
        return np.full(self.space.shape, FAR_MM, np.float32)

"""From a phantom's layers to voxels: partial volume, texture, noise, labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from vnet_jax.data.phantom_field import Field, along, spline_weights
from vnet_jax.data.phantom_layers import Coat, Layer, Raster

#: Outside of the reconstructed circle, as scanners pad it.
PADDING_HU = -1024.0
AIR_HU = -1000.0
#: Label of a layer's role; KiTS19 calls cysts kidney.
LABELS = {"kidney": 1, "cyst": 1, "tumour": 2}


class Window:
    """A field seen on the voxels of a slice: the part of the plane that it covers."""

    def __init__(self, field: Field, y_mm: np.ndarray, x_mm: np.ndarray):
        self.field = field
        spans, self._taps = [], []
        for axis, at_mm in ((1, y_mm), (2, x_mm)):
            low = field.start_mm[axis]
            high = low + field.step_mm * (field.values.shape[axis] - 1)
            first, last = np.searchsorted(at_mm, [low, high])
            spans.append(slice(int(first), int(last)))
            self._taps.append(field.taps(axis, at_mm[first:last]))
        self.box = tuple(spans)
        self.empty = any(s.stop <= s.start for s in spans)

    def plane(self, z_mm: float) -> np.ndarray | None:
        """(h, w) float32 values at a height, for the voxels of `box`; None outside."""
        if self.empty:
            return None
        values = self.field.values
        t = (z_mm - self.field.start_mm[0]) / self.field.step_mm
        if not 0 <= t <= len(values) - 1:
            return None
        node = int(t)
        below = spline_weights(t - node)
        coarse = np.zeros(values.shape[1:], np.float32)
        for k, weight in enumerate(below, node - 1):
            coarse += np.float32(weight) * values[min(max(k, 0), len(values) - 1)]
        return along(along(coarse, self._taps[1], 1), self._taps[0], 0)


class VoxelWindow:
    """A raster, seen on the voxels of a slice as a `Window` is."""

    def __init__(self, raster: Raster):
        self._raster = raster
        pairs = zip(raster.start[1:], raster.values.shape[1:], strict=True)
        self.box = tuple(slice(start, start + n) for start, n in pairs)

    def plane(self, z_mm: float) -> np.ndarray | None:
        """(h, w) float32 values of the slice nearest to a height; None outside."""
        nearest = int(np.abs(self._raster.z_mm - z_mm).argmin())
        k = nearest - self._raster.start[0]
        return self._raster.values[k] if 0 <= k < len(self._raster.values) else None


class Canvas:
    """Paints slices of layers.

    Attributes:
        z_mm, y_mm, x_mm: places of the voxels.
        edge_mm: width of an edge in the image: a voxel, or the scanner's own blur.
    """

    def __init__(self, layers: Sequence[Layer], textures: Sequence[Field], axes):
        self.z_mm, self.y_mm, self.x_mm = axes
        self.edge_mm = 0.5 + 1.15 * float(self.x_mm[1] - self.x_mm[0])
        self._textures = [Window(t, self.y_mm, self.x_mm) for t in textures]
        self._layers = [(layer, self._window(layer.field)) for layer in layers]

    def _window(self, shape: Field | Raster) -> Window | VoxelWindow:
        if isinstance(shape, Raster):
            return VoxelWindow(shape)
        return Window(shape, self.y_mm, self.x_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (D, H, W)."""
        return len(self.z_mm), len(self.y_mm), len(self.x_mm)

    def slice_hu(self, z_mm: float) -> np.ndarray:
        """(H, W) float32 HU at a height, without noise."""
        hu = np.full(self.shape[1:], AIR_HU, np.float32)
        blobs, threads = (self._noise(t, z_mm) for t in self._textures)
        # Thin sheets where the noise passes through 0, here and there.
        strands = np.exp(-((threads * np.float32(4)) ** 2))
        strands *= np.clip(threads + blobs, 0, 2)
        for layer, window in self._layers:
            sd, box = window.plane(z_mm), window.box
            if sd is not None and sd.min() < self.edge_mm:
                for coat in layer.coats:
                    self._paint(hu[box], sd, coat, blobs[box], strands[box])
        return hu

    def _noise(self, window: Window, z_mm: float) -> np.ndarray:
        out = np.zeros(self.shape[1:], np.float32)
        plane = window.plane(z_mm)
        if plane is not None:
            out[window.box] = plane
        return out

    def _paint(self, hu, sd, coat: Coat, blobs, strands) -> None:
        """Paints a coat over `hu`, in place."""
        width = np.float32(self.edge_mm + coat.soft_mm)
        share = np.float32(0.5) - (sd + np.float32(coat.depth_mm)) / width
        np.clip(share, 0, 1, out=share)
        new = np.float32(coat.hu) - hu
        if coat.texture_hu:
            new += np.float32(coat.texture_hu) * blobs
        if coat.strands_hu:
            new += np.float32(coat.strands_hu) * strands
        share *= new
        hu += share

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels, and which mass a voxel belongs to, (D, H, W) uint8 both.

        Labels are 0, 1 kidney, 2 tumour; masses (cysts and tumours) count from 1 in the
        order of the layers.
        """
        labels, owner = np.zeros(self.shape, np.uint8), np.zeros(self.shape, np.uint8)
        number = 0
        for layer, window in self._layers:
            if layer.role not in LABELS:
                continue
            number += layer.role != "kidney"
            for k, z in enumerate(self.z_mm):
                sd = window.plane(float(z))
                if sd is not None:
                    inside = sd < 0
                    labels[k][window.box][inside] = LABELS[layer.role]
                    if layer.role != "kidney":
                        owner[k][window.box][inside] = number
        return labels, owner


def noise_filter(shape: tuple[int, int], spacing_mm: float) -> np.ndarray:
    """Amplitude of CT noise at each spatial frequency, for `scipy.fft.rfft2`.

    A ramp from back-projection, rolled off by a soft-tissue kernel: |f| exp(-(f/f0)^2)
    with f0 = 0.38 cycles a mm, and a floor of 8 %. The result has unit variance.
    """
    fy = np.fft.fftfreq(shape[0], spacing_mm)[:, None]
    fx = np.fft.rfftfreq(shape[1], spacing_mm)[None, :]
    f = np.hypot(fy, fx)
    gain = (0.03 + f) * np.exp(-((f / 0.38) ** 2))
    weight = np.where((fx > 0) & (fx < fx.max()), 2.0, 1.0)
    power = (gain**2 * weight).sum() / (shape[0] * shape[1])
    return (gain / np.sqrt(power)).astype(np.float32)


def noise_slice(rng: np.random.Generator, gain: np.ndarray, shape) -> np.ndarray:
    """(H, W) float32 correlated noise, standard deviation 1."""
    white = rng.standard_normal(shape, np.float32)
    return fft.irfft2(fft.rfft2(white) * gain, s=shape).astype(np.float32)


def noise_level(y_mm, x_mm, sigma_hu: float, middle_mm: float, half_mm) -> np.ndarray:
    """(H, W) standard deviation of the noise: highest in the body's middle.

    Rays through the middle cross the most tissue: 1.25 sigma there, 0.6 at the skin.
    """
    far = ((y_mm - middle_mm) / half_mm[0])[:, None] ** 2
    far = far + (x_mm / half_mm[1])[None, :] ** 2
    return (sigma_hu * np.clip(1.25 - 0.65 * far, 0.6, None)).astype(np.float32)


def paint(canvas: Canvas, sigma_hu: np.ndarray, circle: bool, rng) -> np.ndarray:
    """The CT: two heights a slice averaged, noise, int16.

    Args:
        canvas: what is painted, and where.
        sigma_hu: (H, W) standard deviation of the noise.
        circle: whether only a circle was reconstructed, the rest being padding.
        rng: draws the noise.

    Returns:
        (D, H, W) int16 HU in [-1024, 3071].
    """
    out = np.empty(canvas.shape, np.int16)
    thick = float(canvas.z_mm[1] - canvas.z_mm[0]) if len(canvas.z_mm) > 1 else 1.0
    gain = noise_filter(canvas.shape[1:], float(canvas.x_mm[1] - canvas.x_mm[0]))
    outside = _outside_circle(canvas.shape[1:]) if circle else None
    before = noise_slice(rng, gain, canvas.shape[1:])
    for k, z in enumerate(canvas.z_mm):
        hu = canvas.slice_hu(float(z) - thick / 4)
        hu += canvas.slice_hu(float(z) + thick / 4)
        hu *= np.float32(0.5)
        noise = noise_slice(rng, gain, canvas.shape[1:])
        # Neighbouring slices overlap a little: correlation 0.3, variance 1.
        hu += sigma_hu * (np.float32(0.954) * noise + np.float32(0.3) * before)
        before = noise
        if outside is not None:
            hu[outside] = PADDING_HU
        out[k] = np.rint(np.clip(hu, -1024, 3071))
    return out


def _outside_circle(shape: tuple[int, int]) -> np.ndarray:
    y = (np.arange(shape[0]) - (shape[0] - 1) / 2) / (shape[0] / 2)
    x = (np.arange(shape[1]) - (shape[1] - 1) / 2) / (shape[1] / 2)
    return np.hypot(y[:, None], x[None, :]) > 1

"""The box that phase 2 sees, in voxels."""

from __future__ import annotations

from collections.abc import Sequence


def roi_box(
    start: Sequence[int], shape: Sequence[int], window: Sequence[int], within
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The box that phase 2 sees: the foreground's, grown to whole windows.

    Along each axis the box is one window centred on the foreground, or the foreground
    itself where that is longer. It is shifted to stay inside the volume, and shorter
    than the window only where the volume is. 20 voxels from 70 on in a volume of 100
    under a window of 80: centred it would be 40 to 120, shifted it is 20 to 100.

    Args:
        start: first voxel of the foreground's box.
        shape: its voxels, within the volume.
        window: voxels of phase 2's window.
        within: voxels of the volume.

    Returns:
        (start, shape) of the box, all of it inside the volume.
    """
    starts, lengths = [], []
    for begin, length, size, limit in zip(start, shape, window, within, strict=True):
        size = min(max(size, length), limit)
        centred = begin + (length - size) // 2
        starts.append(int(min(max(centred, 0), limit - size)))
        lengths.append(int(size))
    return tuple(starts), tuple(lengths)

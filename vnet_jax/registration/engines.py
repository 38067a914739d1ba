"""The one interface behind which registration programs stand.

Engines read and write NIfTI files in a folder of their own. Both images of a pair lie
in one frame, mm from the middle of each patient's kidneys, so that an engine starts
from the identity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from vnet_jax.registration.greedy import Greedy
from vnet_jax.registration.niftyreg import NiftyReg
from vnet_jax.registration.programs import Usage

Step = Literal["affine", "full"]
Order = Literal["linear", "nearest"]

ENGINES = {"greedy": Greedy, "niftyreg": NiftyReg}


class Engine(Protocol):
    """A registration program; its instances cross processes.

    Attributes:
        name: "greedy" or "niftyreg".
        version: of the program.
        threads: it may use at once.
    """

    name: str
    version: str
    threads: int

    def settings(self) -> dict:
        """What the result depends on beside the images, for JSON."""

    def register(self, fixed: Path, moving: Path, folder: Path) -> Usage:
        """Aligns `moving` with `fixed`: affine, then non-rigid.

        Args:
            fixed: float32 HU, clipped; the result's grid.
            moving: the same, on any grid.
            folder: takes the transforms, under names of the engine's own.

        Raises:
            ProgramFailed: the program gave up on this pair.
            InputError: it was killed.
        """

    def warp(
        self,
        fixed: Path,
        moving: Path,
        out: Path,
        folder: Path,
        *,
        step: Step,
        order: Order,
        outside: float,
    ) -> Usage:
        """Brings `moving` onto the grid of `fixed` with the transforms in `folder`.

        Args:
            fixed: the grid.
            moving: any values.
            out: the file to write.
            folder: of `register`.
            step: "affine" alone, or "full": non-rigid as well.
            order: of interpolation.
            outside: value where `moving` does not reach.
        """

    def positions(self, fixed: Path, folder: Path) -> np.ndarray:
        """Where each voxel of `fixed` comes from in `moving`, by the full transform.

        Returns:
            (D, H, W, 3) float32, mm in the frame of both.
        """


def make(name: str, threads: int) -> Engine:
    """The engine of that name.

    Raises:
        InputError: it is not installed; says how to get it.
    """
    return ENGINES[name].find(threads)

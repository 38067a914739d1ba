"""Greedy, the default engine: P. Yushkevich's diffeomorphic registration.

https://greedy.readthedocs.io, the wheel `picsl_greedy` (Apache-2.0).
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nibabel as nib
import numpy as np

from vnet_jax.errors import InputError
from vnet_jax.registration.jacobian import voxel_mm
from vnet_jax.registration.programs import Usage, run

#: Runs one of greedy's commands in a process of its own; imported nowhere, because it
#: needs the wheel.
PROGRAM = Path(__file__).with_name("greedy_program.py")
AFFINE, WARP = "affine.mat", "warp.nii.gz"

#: Local correlation over 5 x 9 x 9 voxels (15 x 7 x 7 mm at the paper's spacing).
METRIC = ("-m", "NCC", "2x4x4")
AFFINE_STEPS = ("-a", "-dof", "12", "-ia-identity", "-n", "100x50x0")
#: Wider smoothing (-s) than greedy's own 1.7 and 0.7 voxels, so that nothing folds. Not
#: -sv: its velocity fields collapse near the region's faces.
DEFORMABLE_STEPS = ("-n", "100x50x10", "-s", "2vox", "1vox")
INTERPOLATION = {"linear": "LINEAR", "nearest": "NN"}


@dataclass(frozen=True)
class Greedy:
    """Greedy from its wheel; see `engines.Engine`.

    Attributes:
        version: of the wheel.
        threads: at once.
    """

    version: str
    threads: int = 1
    name: str = "greedy"

    @classmethod
    def find(cls, threads: int) -> Greedy:
        """The installed one.

        Raises:
            InputError: there is none.
        """
        if importlib.util.find_spec("picsl_greedy") is None:
            raise InputError(
                None,
                "the registration engine greedy is not installed",
                'pip install "vnet-jax[registration]"',
            )
        return cls(metadata.version("picsl_greedy"), threads)

    def settings(self) -> dict:
        """The options of both steps."""
        return {
            "affine": " ".join((*METRIC, *AFFINE_STEPS)),
            "deformable": " ".join((*METRIC, *DEFORMABLE_STEPS)),
        }

    def register(self, fixed: Path, moving: Path, folder: Path) -> Usage:
        """Affine from the identity, then a velocity field; see `engines.Engine`."""
        pair = ("-i", fixed, moving, *METRIC)
        affine = self._run(folder, *pair, *AFFINE_STEPS, "-o", AFFINE)
        warp = ("-it", AFFINE, "-o", WARP, "-wp", 0)
        return affine + self._run(folder, *pair, *DEFORMABLE_STEPS, *warp)

    def warp(
        self, fixed, moving, out, folder, *, step: str, order: str, outside: float
    ) -> Usage:
        """See `engines.Engine`."""
        how = ("-ri", INTERPOLATION[order], "-rb", outside)
        # -rt: it would cut HU to whole numbers where the input has them.
        files = ("-rt", "float", "-rm", moving, out)
        # What is named last is applied first to a point of the fixed image.
        chain = (AFFINE,) if step == "affine" else (WARP, AFFINE)
        return self._run(folder, "-rf", fixed, *how, *files, "-r", *chain)

    def positions(self, fixed: Path, folder: Path) -> np.ndarray:
        """See `engines.Engine`.

        Greedy's own `-rj` is not used: it told -5 where the displacements give -0.15.
        """
        warp = nib.load(folder / WARP)  # (D, H, W, 1, 3) mm
        shift = np.asarray(warp.dataobj, np.float32)[:, :, :, 0]
        shift = shift * np.float32([-1, -1, 1])  # ITK's axes: left, posterior, superior
        positions = shift + voxel_mm(warp.shape[:3], warp.affine)
        affine = np.loadtxt(folder / AFFINE, dtype=np.float32)
        return positions @ affine[:3, :3].T + affine[:3, 3]

    def _run(self, folder: Path, *arguments) -> Usage:
        # Without a seed the affine step jitters its samples by the clock.
        always = ("-d", 3, "-threads", self.threads, "-seed", 1)
        return run([sys.executable, "-P", PROGRAM, *always, *arguments], folder)

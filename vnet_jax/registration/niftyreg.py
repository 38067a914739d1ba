"""NiftyReg, the paper's own engine, where its programs are found.

http://cmictig.cs.ucl.ac.uk/wiki/index.php/NiftyReg; how to build it stands in
docs/registration.md.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from vnet_jax.errors import InputError
from vnet_jax.registration.programs import Usage, run

PROGRAMS = ("reg_aladin", "reg_f3d", "reg_resample", "reg_transform")
AFFINE, CONTROL_POINTS = "affine.txt", "control_points.nii.gz"

AFFINE_STEPS = ("-nac",)
#: Control points 10 mm apart. -be (0.001 by default) and -jl hold the folds off, which
#: at NiftyReg's own weights are 0.4 % of the voxels between two patients; -vel, which
#: allows none, took more than six times as long.
DEFORMABLE_STEPS = tuple("-sx 10 -sy 10 -sz 10 -ln 3 -be 0.003 -jl 0.02".split())
INTERPOLATION = {"linear": 1, "nearest": 0}


@dataclass(frozen=True)
class NiftyReg:
    """NiftyReg's four programs; see `engines.Engine`.

    Attributes:
        folder: where they are.
        version: of reg_f3d.
        threads: at once.
    """

    folder: Path
    version: str
    threads: int = 1
    name: str = "niftyreg"

    @classmethod
    def find(cls, threads: int) -> NiftyReg:
        """Those on the PATH, else those that the package `niftyreg` brought along.

        Raises:
            InputError: one of them is missing.
        """
        for folder in _folders():
            if all((folder / name).is_file() for name in PROGRAMS):
                return cls(folder, _version(folder / "reg_f3d"), threads)
        raise InputError(
            None,
            f"NiftyReg's programs ({', '.join(PROGRAMS)}) are not on the PATH",
            "build them as docs/registration.md says, or pass --engine=greedy",
        )

    def settings(self) -> dict:
        """The options of both steps."""
        return {
            "affine": " ".join(AFFINE_STEPS),
            "deformable": " ".join(DEFORMABLE_STEPS),
        }

    def register(self, fixed: Path, moving: Path, folder: Path) -> Usage:
        """reg_aladin from the identity, then reg_f3d; see `engines.Engine`."""
        # -pad is NaN by default; these two results are not used.
        pair = ("-ref", fixed, "-flo", moving, "-pad", -250, "-res", "unused.nii")
        affine = self._run(folder, "reg_aladin", *pair, *AFFINE_STEPS, "-aff", AFFINE)
        points = ("-aff", AFFINE, "-cpp", CONTROL_POINTS)
        free = self._run(folder, "reg_f3d", *pair, *DEFORMABLE_STEPS, *points)
        (folder / "unused.nii").unlink(missing_ok=True)
        return affine + free

    def warp(
        self, fixed, moving, out, folder, *, step: str, order: str, outside: float
    ) -> Usage:
        """See `engines.Engine`."""
        trans = AFFINE if step == "affine" else CONTROL_POINTS
        how = (
            "-trans",
            trans,
            "-inter",
            INTERPOLATION[order],
            "-pad",
            f"{outside:.0f}",
        )
        files = ("-ref", fixed, "-flo", moving, "-res", out)
        return self._run(folder, "reg_resample", *files, *how)

    def positions(self, fixed: Path, folder: Path) -> np.ndarray:
        """See `engines.Engine`."""
        out = folder / "positions.nii"
        self._run(folder, "reg_transform", "-ref", fixed, "-def", CONTROL_POINTS, out)
        field = np.asarray(nib.load(out).dataobj, np.float32)  # (D, H, W, 1, 3) mm
        return field[:, :, :, 0]

    def _run(self, folder: Path, program: str, *arguments) -> Usage:
        threads = ("-omp", self.threads)
        return run([self.folder / program, *arguments, *threads], folder)


def _folders() -> list[Path]:
    """Where the programs may be, the PATH first."""
    found = [Path(p).parent for p in [shutil.which("reg_f3d")] if p]
    package = importlib.util.find_spec("niftyreg")
    if package is not None and package.origin:
        found.append(Path(package.origin).parent / "bin")
    return found


def _version(program: Path) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True)
    number = re.search(r"\d+(\.\d+)+", told.stdout)
    return number.group() if number else "unknown"

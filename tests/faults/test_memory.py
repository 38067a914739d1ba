"""Volumes for which there is no memory are told before it is taken."""

import io

import numpy as np
import pytest

from tests.faults import files
from tests.fuzz import models
from tests.inference.conftest import IPL
from vnet_jax import memory
from vnet_jax.ct import nifti, resample
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.data.cache import GridSpec, build_cache
from vnet_jax.data.cases import find_cases
from vnet_jax.inference import batch
from vnet_jax.inference.tiles import Stitch

#: 24 x 40 x 48 voxels, on the network's grid (5, 3, 2.5 mm) 192 x 320 x 384 of them.
COARSE = IPL.affine @ np.diag([8, 8, 8, 1])
COARSE[:3, 3] = 0
FAULT = files.Fault(7, "coarse", files.packed(affine=COARSE), "")


@pytest.fixture
def little(monkeypatch):
    """50 MB are free."""
    monkeypatch.setattr(memory, "available_memory", lambda: 50_000_000)


def test_a_volume_that_resampling_makes_too_large_is_one_line(tmp_path, little):
    """A wrong spacing makes a file of 92 kB one of 94 MB."""
    path = files.put(FAULT, tmp_path)
    segmenter = models.known_pair(tmp_path / "runs")
    jobs = batch.plan(path, tmp_path / "out")
    ((_, line),) = batch.run(jobs, segmenter, stream=io.StringIO())
    assert line.startswith(f"{path}: out of memory (")
    assert "voxels of 5 x 3 x 2.5 mm need 0.09 GB, 0.05 GB are free" in line
    assert not (tmp_path / "out").exists()


def test_such_a_case_is_left_out_of_the_cache(tmp_path, little):
    for name in ("coarse", "healthy"):
        folder = tmp_path / "cases" / name
        files.put(FAULT if name == "coarse" else files.SAME[0], folder, "imaging")
        scan = nifti.read_ct(folder / "imaging.nii.gz")
        label = np.ones(scan.volume.grid.shape, np.uint8)
        nifti.write_mask(folder / "segmentation.nii.gz", label, scan.volume.grid)
    spec = GridSpec((5.0, 3.0, 2.5))
    cached, (refused,) = build_cache(
        find_cases(tmp_path / "cases"), tmp_path / "c", spec
    )
    assert [case.id for case in cached] == ["healthy"]
    said = "coarse/imaging.nii.gz: out of memory ((192, 320, 384) voxels of 5 x 3 x"
    assert said in str(refused)


def test_nothing_is_allocated(little, monkeypatch):
    volume = Volume(files.HU, Grid(files.HU.shape, COARSE))
    monkeypatch.setattr(resample.np, "empty", None)  # whoever allocates, fails
    with pytest.raises(MemoryError, match=r"need 0\.09 GB, 0\.05 GB are free"):
        resample.to_spacing(volume, IPL.spacing_mm, "linear")
    wide = Volume(
        np.broadcast_to(np.int16(0), (400, 400, 400)), Grid((400,) * 3, np.eye(4))
    )
    with pytest.raises(MemoryError, match="means of"):
        resample.block_mean(wide, (1, 2, 2))
    stitch = Stitch((0, 0, 0), (200, 200, 200))
    tile = np.ones((8, 8, 8, 3), np.float32)
    with pytest.raises(MemoryError, match="3 classes of"):
        stitch.add(tile, (0, 0, 0), np.ones((8, 8, 8), np.float32))

import numpy as np
import pytest

from tests.inference import known
from vnet_jax.ct.geometry import Grid, Volume
from vnet_jax.inference import predict

#: Oriented as KiTS is; 24 x 40 x 48 voxels are 120 x 120 x 120 mm.
IPL = Grid(
    (24, 40, 48),
    np.array([[0, 0, -2.5, 59], [0, -3.0, 0, 58], [-5.0, 0, 0, 57], [0, 0, 0, 1]]),
)
KIDNEY_HU, TUMOUR_HU = 190, 60


def draw():
    """Two kidneys, the right one with a tumour, in tissue, fat and air; noise of 9."""
    hu = np.full(IPL.shape, -1000.0)
    hu[:, 3:37, 3:45] = -100
    hu[:, 5:35, 5:43] = 0
    hu[6:16, 14:24, 8:16] = KIDNEY_HU  # right: small column, large x
    hu[8:12, 16:20, 10:14] = TUMOUR_HU
    hu[7:17, 15:25, 32:40] = KIDNEY_HU  # left
    noise = np.random.default_rng(0).normal(0, 9, hu.shape)
    noise[hu > -500] = noise[hu > -500].clip(-25, 25)  # no class changes by noise
    return (hu + noise).round().astype(np.int16)


@pytest.fixture
def ct():
    """A CT of whose every voxel the known network tells the class."""
    return Volume(draw(), IPL)


@pytest.fixture
def truth(ct):
    return np.select([ct.array >= 100, ct.array >= 30], [1, 2]).astype(np.uint8)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Run folders of both phases that hold the known network."""
    monkeypatch.setattr(predict.models, "build", known.build)
    first = known.config(1, IPL.spacing_mm, (1, 2, 2), (16, 16, 16))
    second = known.config(2, IPL.spacing_mm, (1, 1, 1), (16, 32, 48), cascade=True)
    members = {
        step: (score, known.variables(gain))
        for step, score, gain in [(1, 0.2, 100.0), (2, 0.9, 200.0), (3, 0.5, 150.0)]
    }
    return (
        known.write_run(tmp_path / "runs" / "phase1", first, members),
        known.write_run(tmp_path / "runs" / "phase2", second, members),
    )

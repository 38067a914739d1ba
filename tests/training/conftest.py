"""Tiny cases on disk, as KiTS19 has them, and a config that trains on them."""

import importlib.util
from pathlib import Path

import ml_collections
import nibabel as nib
import numpy as np
import pytest

from tests.training import processes

ROOT = Path(__file__).parents[2]
SPACING_MM = 4.0  # 32 voxels: 128 mm


def write_case(root: Path, number: int, shape=(32, 32, 32)) -> None:
    """A body of 40 HU in air, a kidney of 180, in it a tumour of 80; noise of 15 HU."""
    rng = np.random.default_rng(number)
    voxels = np.stack(np.indices(shape), -1)
    centre = np.array(shape) / 2 + rng.uniform(-3, 3, 3)
    label = np.where(np.linalg.norm(voxels - centre, axis=-1) < 8, 1, 0)
    label[(np.linalg.norm(voxels - centre - 3, axis=-1) < 4) & (label > 0)] = 2
    hu = np.select([label == 2, label == 1], [80, 180], 40)
    hu[:, :2] = hu[:, :, :2] = -1000
    hu = hu + np.rint(rng.normal(0, 15, shape))
    affine = np.zeros((4, 4))  # I, P, L as KiTS19's own
    affine[[0, 1, 2], [2, 1, 0]] = -SPACING_MM
    affine[3, 3] = 1
    folder = root / f"case_{number:05d}"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(hu.astype(np.int16), affine), folder / "imaging.nii.gz")
    nib.save(
        nib.Nifti1Image(label.astype(np.uint8), affine), folder / "segmentation.nii.gz"
    )
    (folder / "case.json").write_text('{"synthetic": true}')


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """Six cases of 32^3 voxels; 4 train and 2 validate with 3 folds."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    for number in range(6):
        write_case(root, number)
    return root


@pytest.fixture(scope="session")
def tiny_config(tiny_root, tmp_path_factory):
    """phase, changes -> the phase's config at width 2 on patches of 16 x 32 x 32."""
    cache = tmp_path_factory.mktemp("cache")

    def make(phase: int = 1, **changes) -> ml_collections.ConfigDict:
        config = load_config("phase1")
        config.phase, config.name = phase, f"tiny{phase}"
        config.data.root, config.data.cache = str(tiny_root), str(cache)
        config.data.spacing_mm = (SPACING_MM,) * 3
        config.data.downsample = (1, 1, 1)
        config.data.folds = 3
        config.sample.shape = (16, 32, 32)
        config.sample.jitter_mm = (4.0, 4.0, 4.0)
        config.model.width = 4 if phase == 2 else 2
        config.model.cascade = phase == 2
        config.batch_size = 2
        config.epochs, config.eval_every = 4, 2
        config.learning_rate = 3e-3
        config.ema = 0.9 if phase == 1 else 0.0
        config.loader_threads = 1
        with config.unlocked():
            config.update_from_flattened_dict(changes)
        return config.lock()

    return make


@pytest.fixture
def start(tiny_config, tmp_path):
    """processes, workdir, changes -> these processes, started; killed at the end."""
    started = []

    def start(count: int, workdir: Path, devices: int = 1, **changes) -> list:
        config = tmp_path / f"config{len(started)}.py"
        facts = tiny_config(**changes).to_dict()
        config.write_text(
            "import ml_collections\n\n\ndef get_config():\n"
            f"    return ml_collections.ConfigDict({facts!r})\n"
        )
        started.extend(processes.start(count, config, workdir, devices))
        return started[-count:]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def load_config(name: str) -> ml_collections.ConfigDict:
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()

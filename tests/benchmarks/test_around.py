import jax
import numpy as np
from scipy import ndimage

from benchmarks import around, around_models
from benchmarks.around_work import told_apart
from benchmarks.pipe import NotRun
from vnet_jax import models


def test_the_known_network_thresholds_the_local_mean():
    hu = np.zeros((16, 16, 16), np.float32)
    hu[4:12, 4:12, 2:14] = 180
    hu[6:12, 6:12, 6:12] = 247
    module = models.build(cascade=True, width=4)
    variables = around_models.thresholds(module, cascade=True)
    run = jax.jit(module.apply, compiler_options={"xla_backend_optimization_level": 0})
    logits = run(variables, (hu / 250)[None, ..., None])
    mean = ndimage.uniform_filter(hu.astype(np.float64), 5, mode="constant")
    expected = np.select([mean > 240, mean > 120], [2, 1])
    clear = (np.abs(mean - 240) > 1) & (np.abs(mean - 120) > 1)
    assert {0, 1, 2} == set(expected[clear].tolist())
    for stage in logits:
        mask = np.asarray(stage[0]).argmax(-1)
        assert np.array_equal(mask[clear], expected[clear])


def test_only_the_organs_are_bright():
    ct = np.array([-1000, 40, 300, 100, 90])
    labels = np.array([0, 0, 0, 1, 2])
    assert told_apart(ct, labels).tolist() == [-1000, 40, 60, 180, 245]


class Nobody:
    def ours(self, module):
        raise NotRun("nibabel is not installed")


def test_what_cannot_be_read_is_not_run(tmp_path):
    rows = []
    cases = [around.Case()]
    around.run(Nobody(), tmp_path, small=True, cases=cases, done=rows.append)
    (row,) = rows
    assert row["not_run"] == "nibabel is not installed"
    assert row["seconds"] is None

import gc
import itertools
import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import phase1, phase2
from tests.inference import known
from tests.inference.test_predict import predictor, volume
from vnet_jax import models
from vnet_jax.inference import ensemble
from vnet_jax.inference.averaging import Passes, Sums, add_softmax, disagreement, means
from vnet_jax.runs.checkpoint import Checkpoints


class Slanted(nn.Module):
    """A network that sees where in the window a voxel is: mirrors change its answer."""

    @nn.compact
    def __call__(self, x, train):
        lean = self.param("lean", nn.initializers.constant(1.0), (3,))
        at = [jnp.linspace(-1, 1, n) for n in x.shape[1:4]]
        z, y, w = jnp.meshgrid(*at, indexing="ij")
        tilt = lean[0] * z + lean[1] * y + lean[2] * w
        return (jnp.stack([x[..., 0], x[..., 0] * tilt, tilt[None]], -1),)


def leaning(*lean):
    return {"params": {"lean": np.array(lean, np.float32)}}


def entropy(p):
    return -(p * np.log(p)).sum(axis=-1)


def test_mirror_images_are_turned_back_and_averaged():
    p, image = predictor(Slanted()), volume((16, 16, 16))
    variables = leaning(0.5, 1.0, -2.0)
    sums = add_softmax(p, [variables], image, None, passes=Passes(flips=(0, 2)))
    ((got, _),) = means(sums, image.grid)
    window = p.input_window(image, (0, 0, 0))
    alone = []
    for axes in [(), (0,), (2,), (0, 2)]:
        seen = np.ascontiguousarray(np.flip(window, [a + 1 for a in axes]))
        (out,) = p.program(variables, seen)
        alone.append(np.flip(np.asarray(out), axes))
    np.testing.assert_allclose(got, np.mean(alone, axis=0), atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 0.1


def test_disagreement_is_the_mutual_information_of_class_and_member():
    p, image = predictor(Slanted()), volume((16, 16, 16))
    members = [leaning(0, 0, 0), leaning(3, 0, 0), leaning(0, -2, 1)]
    sums = add_softmax(p, members, image, None, passes=Passes(entropy=True))
    mean = means(sums, image.grid)[0][0].copy()
    got = disagreement(sums, mean)
    alone = np.stack([p.softmax(m, image)[0][0] for m in members])
    expected = entropy(alone.mean(axis=0)) - entropy(alone).mean(axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert got.dtype == np.float32
    assert 0.05 < got.max() <= np.log(3)


def test_members_that_agree_disagree_nowhere():
    p, image = predictor(Slanted()), volume((20, 16, 16))
    one = [leaning(0, 0, 0)] * 2  # no tilt: tiles agree as well
    sums = add_softmax(p, one, image, None, passes=Passes(entropy=True))
    mean = means(sums, image.grid)[0][0]
    spread = disagreement(sums, mean)
    assert spread.min() >= 0
    assert spread.max() < 1e-5
    unsure = entropy(mean)
    assert unsure.max() > 0.5  # each is unsure all the same


def test_the_sums_take_what_the_docs_say():
    p, image = predictor(Slanted()), volume((16, 16, 16))
    sums = Sums()
    passes = Passes(entropy=True, flips=(0, 1, 2))
    add_softmax(p, [leaning(1, 1, 1)] * 2, image, None, sums, passes)
    held = [*sums.stages, sums.entropy]
    arrays = [a for s in held for a in vars(s).values() if isinstance(a, np.ndarray)]
    assert sum(a.nbytes for a in arrays) == (16 + 8) * 16**3
    assert len(passes.mirrored()) == 8


def test_one_network_is_in_memory_at_a_time(runs, ct, monkeypatch):
    """Beyond KEPT_BYTES each member's variables are gone before the next are read."""
    alive, most = [], []
    read = Checkpoints.variables

    def counted(checkpoints, step):
        gc.collect()
        most.append(sum(ref() is not None for ref in alive))
        variables = jax.tree.map(np.array, read(checkpoints, step))
        alive.extend(weakref.ref(leaf) for leaf in jax.tree.leaves(variables))
        return variables

    monkeypatch.setattr(Checkpoints, "variables", counted)
    other = known.write_run(
        runs[1].parent / "fold1",
        known.config(2, (5.0, 3.0, 2.5), (1, 1, 1), (16, 32, 48), cascade=True),
        {step: (0.5, known.variables(100.0 + step)) for step in (1, 2)},
    )
    monkeypatch.setattr(ensemble, "KEPT_BYTES", 0)
    several = ensemble.Ensemble([runs[1], other], 2)
    region = ct.grid.crop((6, 14, 8), (10, 10, 32))  # one window
    several.predict(ct, region, Passes(flips=(2,), entropy=True))
    assert most == [0] * 5
    monkeypatch.setattr(ensemble, "KEPT_BYTES", 2 * 4)  # two of these networks fit
    several.predict(ct, region)
    assert max(most) == 2


@pytest.mark.parametrize("config", [phase1, phase2])
def test_no_network_of_the_papers_size_stays_in_memory(config):
    model = config.get_config().model
    module, x = models.build(**model), jax.ShapeDtypeStruct((1, 16, 16, 16, 1), "f4")
    shapes = jax.eval_shape(
        lambda key, x: module.init(key, x, train=False), jax.random.key(0), x
    )
    size = sum(4 * leaf.size for leaf in jax.tree.leaves(shapes))
    assert size > ensemble.KEPT_BYTES


def test_every_pass_is_told(runs, ct):
    told = []
    alone = ensemble.Ensemble([runs[1]], 2, 1)
    alone.predict(ct, passes=Passes(flips=(0, 1)), tell=lambda *t: told.append(t))
    windows = len(alone.predictors[0].windows(ct.grid, None))
    assert told == [(i + 1, 4 * windows) for i in range(4 * windows)]


def test_axes_without_mirrors_in_training_are_known(runs):
    several = ensemble.Ensemble([runs[1]], 2)
    assert [several.unmirrored([axis]) for axis in range(3)] == [True] * 3
    several.runs[0].config.unlock()
    several.runs[0].config.augment.flip = (0.0, 0.0, 0.5)
    assert [several.unmirrored([axis]) for axis in range(3)] == [True, True, False]


@pytest.mark.parametrize("flips", [(), (1,), (0, 1, 2)])
def test_every_set_of_axes_once(flips):
    got = Passes(flips=flips).mirrored()
    assert got[0] == ()
    expected = {
        frozenset(c) for n in range(4) for c in itertools.combinations(flips, n)
    }
    assert set(map(frozenset, got)) == expected
    assert len(got) == 2 ** len(flips)

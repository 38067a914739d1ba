"""Networks and losses named in a config: what is taken and what is refused."""

import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax import models
from vnet_jax.models import losses

HEADER = """
import jax.numpy as jnp
from flax import linen as nn
"""
NET = """
class Net(nn.Module):
    classes: int
    dtype: object
    width: int = 2
    stages: int = 1

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(self.width, (3, 3, 3), dtype=self.dtype)(x)
        x = nn.BatchNorm(use_running_average=not train)(nn.relu(x))
        x = nn.Dropout(0.1, deterministic=not train)(x)
        stages = [nn.Conv(self.classes, (1, 1, 1))(x) for _ in range(self.stages)]
        return stages[0] if self.stages == 1 else stages
"""


@pytest.fixture
def write(tmp_path, monkeypatch, request):
    """Source -> the name of a module with it, on Python's path, new for each test."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{abs(hash(request.node.nodeid))}"

    def write(source, header=HEADER):
        (tmp_path / f"{name}.py").write_text(header + textwrap.dedent(source))
        return name

    return write


def test_a_network_behaves_as_a_v_net_does(write):
    path = f"{write(NET)}:Net"
    module = models.build(
        factory=path, kwargs={"width": 4, "stages": 2}, classes=4, window=(6, 10, 7)
    )
    assert module.stages == 2 and models.smallest_volume(module) == (6, 10, 7)
    x = jnp.zeros((2, 6, 10, 7, 1))
    variables = module.init(jax.random.key(0), x, train=False)
    assert variables["params"]["net"]["Conv_0"]["kernel"].shape[-1] == 4
    logits, updated = module.apply(
        variables,
        x,
        train=True,
        index=jnp.arange(2),
        rngs={"dropout": jax.random.key(1)},
        mutable=["batch_stats"],
    )
    assert [stage.shape for stage in logits] == [(2, 6, 10, 7, 4)] * 2
    assert set(updated) == {"batch_stats"}
    again = models.build(
        factory=path, kwargs={"stages": 2, "width": 4}, classes=4, window=[6, 10, 7]
    )
    assert again is module  # compiled once


def test_logits_are_float32_whatever_it_computes_in(write):
    source = NET.replace("(1, 1, 1))", "(1, 1, 1), dtype=jnp.bfloat16)")
    module = models.build(factory=f"{write(source)}:Net", dtype="bfloat16")
    x = jax.ShapeDtypeStruct((1, 8, 8, 8, 1), jnp.float32)
    (logits,), _ = jax.eval_shape(
        lambda k, x: module.init_with_output(k, x), jax.random.key(0), x
    )
    assert logits.dtype == jnp.float32 and module.net.dtype == jnp.bfloat16


def test_index_goes_to_a_network_that_asks_for_it(write):
    source = NET.replace("x, train)", "x, train, index=None)").replace(
        BEFORE, f"        assert not train or index.shape == (1,)\n{BEFORE}"
    )
    assert models.build(factory=f"{write(source)}:Net").takes_index
    assert not models.VNet().stages > 1 and models.Cascade.stages == 2


BEFORE = "        x = nn.BatchNorm"


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("", "", r"is 'own_\d+', not 'package\.module:name'"),
        (":Net", "x = 1", r"own_.*\.py has no Net"),
        (":Net", "import no_part", "importing own_.* failed: ModuleNotFoundError"),
        (":Net", "1 / 0", "importing own_.* failed: ZeroDivisionError"),
        (":Net", "def Net(classes): pass", "called with classes, dtype: TypeError"),
        (":Net", "def Net(**_): return 3", r"returned a int, not a flax\.linen\.Mod"),
        (":Net", NET.replace("self.classes", "1"), r"of shape \(1, 8, 8, 8, 1\) for"),
        (":Net", NET.replace(BEFORE, f"        x = x[:, 1:]\n{BEFORE}"), r"\(1, 7, 8"),
        (
            ":Net",
            NET.replace(BEFORE, f"        x.reshape(3)\n{BEFORE}"),
            "fails on a vol",
        ),
        (
            ":make",
            NET + "\ndef make(**given): return Net(width=jnp.ones(1), **given)",
            "cannot be compared",
        ),
        (
            ":Net",
            NET.replace(BEFORE, f"        self.sow('seen', 'x', x)\n{BEFORE}"),
            "variables seen; training keeps params and batch_stats",
        ),
    ],
)
def test_what_is_no_network_is_told_in_one_line(write, name, source, told):
    make = dict(factory=write(source) + name, window=(8, 8, 8))
    with pytest.raises(ValueError, match=told) as error:
        models.build(**make)
    assert "\n" not in str(error.value) and "factory" in str(error.value)


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no module no_such_package on Python's path"):
        models.build(factory="no_such_package.nets:Net")


def test_arguments_that_no_json_keeps_are_refused(write):
    with pytest.raises(ValueError, match=r"kwargs: .*not JSON serializable"):
        models.build(factory=f"{write(NET)}:Net", kwargs={"width": jnp.tanh})


def test_a_loss_of_ones_own(write):
    source = """
    def squared(classes, power=2):
        def loss(logits, labels):
            truth = labels[..., None] == jnp.arange(classes)
            return jnp.mean(jnp.abs(nn.softmax(logits) - truth) ** power)
        return loss
    """
    path = f"{write(source)}:squared"
    loss = losses.build(factory=path, kwargs={"power": 1}, name="not read")
    labels = np.zeros((1, 2, 2, 2), np.uint8)
    value = loss(jnp.zeros((1, 2, 2, 2, 3)), labels)
    assert value == pytest.approx((2 / 3 + 1 / 3 + 1 / 3) / 3, rel=1e-6)
    assert losses.build(factory=path, kwargs={"power": 1}) is loss


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def f(classes): return 1.0", "returned a float, not a function"),
        (
            "def f(classes): return lambda x, y: x",
            r"returns \(2, 4, 4, 4, 3\), not one",
        ),
        ("def f(classes): return lambda x, y: None", "returns a NoneType, not one"),
        ("def f(classes): return lambda x: x", "its loss fails: TypeError"),
        (
            "def f(classes): return lambda x, y: y.sum()",
            "grad requires real-valued outputs",
        ),
    ],
)
def test_what_is_no_loss_of_ones_own_is_told(write, source, told):
    with pytest.raises(ValueError, match=told):
        losses.build(factory=f"{write(source)}:f")

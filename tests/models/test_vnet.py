import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from vnet_jax.models import build
from vnet_jax.models.losses import staged
from vnet_jax.models.stages import InputStage

KEY = jax.random.key(0)


def abstract(module, channels=1):
    spec = jax.ShapeDtypeStruct((1, 16, 16, 16, channels), jnp.float32)
    return flatten_dict(jax.eval_shape(module.init, KEY, spec)["params"])


def parameters(module, channels=1):
    return sum(a.size for a in abstract(module, channels).values())


@pytest.mark.parametrize(
    ("activation", "channels", "count"),
    [("prelu", 1, 45_605_525), ("prelu", 4, 45_611_525), ("elu", 1, 45_601_906)],
)
def test_parameters_of_the_papers_width(activation, channels, count):
    module = build(cascade=False, activation=activation)
    assert parameters(module, channels) == count


def test_parameters_of_the_cascade_are_those_of_its_two_vnets():
    module = build(cascade=True, activation="prelu")
    assert parameters(module) == 45_605_525 + 45_611_525


@pytest.mark.parametrize(
    ("variant", "encoder", "decoder", "head", "biased"),
    [
        ("monai", (1, 1, 2, 3, 2), (2, 2, 1, 1), 1, False),
        ("caffe", (1, 1, 2, 3, 3), (3, 2, 1, 1), 1, True),
        ("diagram", (1, 2, 3, 3, 3), (3, 3, 2, 1), 0, True),
    ],
)
def test_convolutions_a_stage(variant, encoder, decoder, head, biased):
    leaves = abstract(build(cascade=False, variant=variant))

    def convs(stage):
        return sum(
            path[0] == stage and path[2] == "kernel" and a.shape[:3] == (5, 5, 5)
            for path, a in leaves.items()
        )

    assert tuple(convs(f"encoder_{i}") for i in range(5)) == encoder
    assert tuple(convs(f"decoder_{i}") for i in (3, 2, 1, 0)) == decoder
    assert convs("head") == head
    assert (("encoder_0", "conv_0", "bias") in leaves) == biased
    assert ("decoder_0", "up", "bias") in leaves


def test_channels_of_the_levels():
    leaves = abstract(build(cascade=False, classes=5), channels=4)
    shapes = {path[:2]: a.shape for path, a in leaves.items() if path[2] == "kernel"}
    assert shapes["encoder_0", "conv_0"] == (5, 5, 5, 4, 16)
    assert shapes["encoder_4", "down"] == (2, 2, 2, 128, 256)
    assert shapes["decoder_3", "up"] == (2, 2, 2, 256, 128)
    assert shapes["decoder_3", "conv_1"] == (5, 5, 5, 256, 256)
    assert shapes["decoder_0", "up"] == (2, 2, 2, 64, 16)
    assert shapes["head", "conv_0"] == (5, 5, 5, 32, 5)
    assert shapes["head", "logits"] == (1, 1, 1, 5, 5)


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("variant", ["monai", "caffe", "diagram"])
def test_every_submodule_is_named(cascade, variant):
    """Flax numbers what has no name: Conv_0. All of ours begin in lower case."""
    for norm in ("batch", "group", "none"):
        module = build(cascade=cascade, variant=variant, norm=norm, activation="prelu")
        assert all(part.islower() for path in abstract(module) for part in path)


def test_norm_and_activation_are_the_variants_own_unless_asked_for():
    def kinds(**asked):
        module = build(cascade=False, **asked)
        spec = jax.ShapeDtypeStruct((1, 16, 16, 16, 1), jnp.float32)
        variables = jax.eval_shape(module.init, KEY, spec)
        names = {path[-1] for path in flatten_dict(variables["params"])}
        return "batch_stats" in variables, "scale" in names, "alpha" in names

    assert kinds(variant="monai") == (True, True, False)
    assert kinds(variant="monai", norm="group") == (False, True, False)
    assert kinds(variant="monai", norm="none", activation="prelu") == (
        False,
        False,
        True,
    )
    assert kinds(variant="caffe") == (False, False, True)
    assert kinds(variant="caffe", norm="batch", activation="elu") == (True, True, False)
    assert kinds(variant="diagram") == (False, False, True)


@pytest.mark.parametrize(
    ("shape", "width", "message"),
    [
        ((1, 16, 24, 16, 1), 4, r"\(16, 24, 16\) must be multiples of 16"),
        ((1, 8, 16, 16, 1), 4, r"\(8, 16, 16\)"),
        ((1, 16, 16, 16, 5), 4, "width 4 is below the 5 input"),
        ((16, 16, 16, 1), 4, r"\(16, 16, 16, 1\), not \(B, D, H, W, C\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(shape, width, message):
    module = build(cascade=False, width=width)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(module.init, KEY, jax.ShapeDtypeStruct(shape, jnp.float32))


def test_a_cascade_needs_a_width_for_softmax_and_image():
    spec = jax.ShapeDtypeStruct((1, 16, 16, 16, 1), jnp.float32)
    with pytest.raises(ValueError, match="width 3 is below the 4"):
        jax.eval_shape(build(cascade=True, width=3).init, KEY, spec)


def test_the_inputs_copies_fill_a_width_that_is_no_multiple():
    """Channels a b c, width 8: a b c a b c a b is added, without a parameter for it."""
    stage = InputStage(8, 1, "elu", "none", False, 0.0)
    x = jax.random.normal(KEY, (1, 2, 2, 2, 3))
    variables = jax.tree.map(jnp.zeros_like, stage.init(KEY, x, False))
    y = stage.apply(variables, x, False)
    places = jnp.array([0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(y, jax.nn.elu(x[..., places]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"variant": "unet"},
        {"activation": "relu"},
        {"norm": "layer"},
        {"summation": "all"},
        {"dtype": "float16"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"width": 0},
        {"classes": 1},
    ],
)
def test_build_refuses_what_it_does_not_know(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong.values()))}"):
        build(cascade=True, **wrong)


def image(batch=2):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.uniform(-1, 1, (batch, 16, 16, 16, 1)), jnp.float32)


LABELS = np.random.default_rng(1).integers(0, 3, (2, 16, 16, 16), np.uint8)


@pytest.fixture(scope="module")
def step():
    """One training step of a V-Net: loss, gradients and new statistics."""
    return functools.cache(make_step)


def make_step(remat=False, dtype="float32"):
    module = build(cascade=False, width=4, remat=remat, dtype=dtype)

    def loss(params, others, key, index):
        logits, new = module.apply(
            {"params": params, **others},
            image(),
            True,
            index,
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        return staged(logits, LABELS), new

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def apply(variables, key=KEY, index=(0, 1)):
        others = {"batch_stats": variables["batch_stats"]}
        return run(variables["params"], others, key, jnp.array(index))

    return apply


def test_jit_equals_eager(filled):
    module = build(cascade=False, width=2, variant="caffe")
    variables = filled(module, (2, 16, 16, 16, 1))
    eager, jitted = (
        f(variables, image())[0] for f in (module.apply, jax.jit(module.apply))
    )
    np.testing.assert_allclose(eager, jitted, rtol=0, atol=1e-5 * np.abs(eager).max())


def test_remat_changes_no_parameter_and_no_gradient(filled, step):
    """In float64: of one value a channel at the deepest level, float32 keeps little."""
    plain, less = (build(cascade=True, width=4, remat=r) for r in (False, True))
    assert abstract(plain) == abstract(less)
    variables = filled(build(cascade=False, width=4), (2, 16, 16, 16, 1))
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda a: a.astype(jnp.float64), variables)
        (loss, new), grads = step(dtype="float64")(variables)
        (loss2, new2), grads2 = step(remat=True, dtype="float64")(variables)
    assert loss2 == pytest.approx(float(loss), rel=1e-12)
    exact = functools.partial(close, tolerance=1e-9)
    jax.tree.map(exact, (new2, grads2), (new, grads))


def close(a, b, tolerance=1e-5):
    largest = max(np.abs(b).max(), 1e-3)
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest)


def test_remat_recomputes_no_convolution():
    """The convolutions of a gradient, counted in what is handed to the compiler."""

    def convolutions(remat):
        module = build(
            cascade=False, width=4, remat=remat, spatially_sharded=True, dropout=0.0
        )
        variables = jax.eval_shape(module.init, KEY, image())

        def loss(params, x):
            variables = {"params": params}
            out, _ = module.apply(variables, x, True, mutable=["batch_stats"])
            return out[0].sum()

        step = jax.jit(jax.grad(loss)).lower(variables["params"], image())
        return step.as_text().count("stablehlo.convolution")

    assert convolutions(True) == convolutions(False) > 0


def test_training_uses_dropout_and_moves_the_running_averages(filled, step):
    variables = filled(build(cascade=False, width=4), (2, 16, 16, 16, 1))
    (loss, new), _ = step()(variables)
    (other_key, _), _ = step()(variables, jax.random.key(1))
    (other_place, _), _ = step()(variables, index=(2, 3))
    assert len({float(loss), float(other_key), float(other_place)}) == 3
    before = flatten_dict(variables["batch_stats"])
    after = flatten_dict(new["batch_stats"])
    assert before.keys() == after.keys()
    assert all((before[p] != after[p]).any() for p in before)


def test_bfloat16_keeps_float32_parameters_and_logits(filled):
    module = build(cascade=False, width=4, dtype="bfloat16")
    variables = filled(module, (2, 16, 16, 16, 1))
    assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    half = jax.jit(module.apply)(variables, image())[0]
    full = jax.jit(build(cascade=False, width=4).apply)(variables, image())[0]
    assert half.dtype == jnp.float32
    error = jnp.abs(half - full).max() / jnp.abs(full).max()
    assert 0 < error < 0.05  # 2^-8 = 0.004 a layer, 25 layers


def test_dropout_0_makes_training_equal_evaluation(filled):
    module = build(cascade=False, width=4, norm="group", dropout=0.0)
    variables = filled(module, (2, 16, 16, 16, 1))
    run = jax.jit(
        lambda train: module.apply(variables, image(), train), static_argnums=0
    )
    np.testing.assert_array_equal(run(True)[0], run(False)[0])


def test_samples_do_not_meet_under_group_norm(filled):
    """So, with the index given, four steps of one sample are one step of four."""
    module = build(cascade=False, width=4, norm="group")
    variables = filled(module, (2, 16, 16, 16, 1))
    run = jax.jit(
        lambda x, i: module.apply(variables, x, True, i, rngs={"dropout": KEY})[0]
    )
    both = run(image(), jnp.array([0, 1]))
    alone = run(image()[1:], jnp.array([1]))
    np.testing.assert_allclose(both[1:], alone, rtol=0, atol=1e-5 * np.abs(both).max())
    assert not np.allclose(run(image()[1:], jnp.array([0])), alone, atol=1e-3)


@pytest.mark.parametrize(
    ("asked", "moves"),
    [
        ({"summation": "none"}, True),
        ({"summation": "none", "stop_gradient": True}, False),
        ({"summation": "per_stage", "stop_gradient": True}, True),
    ],
)
def test_stop_gradient_cuts_the_softmax_and_not_the_links(filled, asked, moves):
    """Stage 2's loss as a function of stage 1: the native form has forward mode."""
    module = build(
        cascade=True, variant="caffe", width=4, spatially_sharded=True, **asked
    )
    variables = filled(module, (2, 16, 16, 16, 1))
    away = filled(module, (2, 16, 16, 16, 1), seed=1)["params"]["stage1"]

    def loss(stage1):
        params = variables["params"] | {"stage1": stage1}
        logits = module.apply({**variables, "params": params}, image())
        return staged(logits, LABELS, (0.0, 1.0))

    slope = jax.jit(lambda at, to: jax.jvp(loss, (at,), (to,))[1])
    assert (slope(variables["params"]["stage1"], away) != 0) == moves


def test_export_takes_the_native_form(filled):
    module = build(cascade=False, width=2, spatially_sharded=True)
    variables = filled(module, (2, 16, 16, 16, 1))
    stored = jax.export.export(jax.jit(module.apply))(variables, image())
    logits = jax.jit(build(cascade=False, width=2).apply)(variables, image())[0]
    close(stored.call(variables, image())[0], logits)

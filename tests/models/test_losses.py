import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax.models.losses import (
    TERMS,
    build,
    cross_entropy,
    cross_entropy_dice,
    dice_loss,
    focal_loss,
    staged,
)


def draw(shape=(2, 3, 4, 5), classes=3):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((*shape, classes)) * 3
    return jnp.asarray(logits, jnp.float32), rng.integers(0, classes, shape, np.uint8)


def test_cross_entropy_of_equal_logits_is_ln_of_the_classes():
    labels = jnp.array([0, 1, 2, 1], jnp.uint8).reshape(1, 1, 1, 4)
    assert cross_entropy(jnp.zeros((1, 1, 1, 4, 3)), labels) == pytest.approx(
        math.log(3), rel=1e-6
    )


def test_cross_entropy_by_hand():
    # p = (1/2, 1/4, 1/4) in both voxels; labels 0 and 2: (ln 2 + ln 4) / 2 = 1.5 ln 2.
    logits = jnp.log(jnp.array([2.0, 1, 1])) * jnp.ones((1, 1, 1, 2, 1))
    labels = jnp.array([0, 2]).reshape(1, 1, 1, 2)
    assert cross_entropy(logits, labels) == pytest.approx(1.5 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_cross_entropy_equals_float64(dtype):
    logits, labels = draw()
    exact = np.asarray(logits, np.float64)
    exact = np.log(np.exp(exact).sum(-1)) - np.take_along_axis(
        exact, labels[..., None].astype(int), -1
    ).squeeze(-1)
    value = jax.jit(cross_entropy)(logits, labels.astype(dtype))
    assert value.dtype == jnp.float32
    assert value == pytest.approx(exact.mean(), rel=1e-6)


def test_cross_entropy_gradient_is_softmax_minus_truth():
    logits, labels = draw()
    truth = np.eye(3)[labels]
    expected = (jax.nn.softmax(logits) - truth) / labels.size
    gradient = jax.grad(cross_entropy)(logits, labels)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_cross_entropy_of_large_logits_is_finite():
    logits = jnp.array([1e4, -1e4, 0.0]).reshape(1, 1, 1, 1, 3)
    labels = jnp.ones((1, 1, 1, 1), jnp.uint8)
    assert cross_entropy(logits, labels) == 2e4


def test_cross_entropy_of_bfloat16_logits_is_computed_in_float32():
    logits, labels = draw()
    half = logits.astype(jnp.bfloat16)
    assert cross_entropy(half, labels) == cross_entropy(
        half.astype(jnp.float32), labels
    )


def test_means_keep_their_digits_over_a_region_of_interest():
    # 1.8 million voxels, a quarter of the ROI: a running float32 sum would lose 4.
    labels = np.zeros((1, 80, 120, 192), np.uint8)
    logits = np.zeros((*labels.shape, 3), np.float32)
    logits[:, ::2, ..., 0] = 0.3
    even = math.log(math.exp(0.3) + 2) - 0.3
    value = jax.jit(cross_entropy)(logits, labels)
    assert value == pytest.approx((even + math.log(3)) / 2, rel=2e-6)


def test_dice_loss_is_0_for_the_truth_and_1_for_its_opposite():
    labels = jnp.array([0, 1, 2, 2], jnp.uint8).reshape(1, 1, 1, 4)
    sure = 100 * jax.nn.one_hot(labels, 3)
    assert dice_loss(sure, labels) == pytest.approx(0, abs=1e-6)
    assert dice_loss(jnp.roll(sure, 1, -1), labels) == pytest.approx(1, abs=1e-5)


def test_dice_loss_by_hand():
    # p = 1/3 in 4 voxels. Class 1, one voxel: 2/3 / (4/9 + 1) = 6/13.
    # Class 2, two voxels: 4/3 / (4/9 + 2) = 12/22. The background does not count.
    labels = jnp.array([0, 1, 2, 2], jnp.uint8).reshape(1, 1, 1, 4)
    value = dice_loss(jnp.zeros((1, 1, 1, 4, 3)), labels, smooth=0)
    assert value == pytest.approx(1 - (6 / 13 + 12 / 22) / 2, rel=1e-6)


def test_dice_loss_without_foreground_is_finite_with_its_gradient():
    labels = jnp.zeros((1, 1, 1, 4), jnp.uint8)
    sure = 200 * jax.nn.one_hot(labels, 3)
    assert dice_loss(sure, labels) == pytest.approx(0, abs=1e-6)
    assert jnp.isfinite(jax.grad(dice_loss)(sure, labels)).all()


def test_dice_loss_is_a_mean_over_samples():
    logits, labels = draw()
    each = [float(dice_loss(logits[i : i + 1], labels[i : i + 1])) for i in range(2)]
    assert dice_loss(logits, labels) == pytest.approx(sum(each) / 2, rel=1e-6)


def test_cross_entropy_dice_is_their_sum():
    logits, labels = draw()
    total = cross_entropy(logits, labels) + dice_loss(logits, labels)
    assert cross_entropy_dice(logits, labels) == total


def test_staged_weighs_the_stages():
    logits, labels = draw()
    stages = (logits, 2 * logits)
    one, two = (float(cross_entropy(s, labels)) for s in stages)
    assert staged(stages, labels) == pytest.approx(one + two, rel=1e-6)
    assert staged(stages, labels, (0.5, 2)) == pytest.approx(
        0.5 * one + 2 * two, rel=1e-6
    )
    assert staged(stages[:1], labels, (0.5, 2)) == pytest.approx(0.5 * one, rel=1e-6)
    assert staged(stages[:1], labels, loss=dice_loss) == dice_loss(logits, labels)


def test_staged_refuses_too_few_weights():
    logits, labels = draw()
    with pytest.raises(ValueError, match="1 weights for 2 stages"):
        staged((logits, logits), labels, (1.0,))


def exact(logits, labels):
    """The p of each class and ln p of the label, in float64 NumPy."""
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    at = labels[..., None].astype(int)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return p, np.take_along_axis(log_p, at, -1)[..., 0]


def test_focal_loss_by_hand():
    # Lin et al. 2017, equation 4: -(1 - p)^gamma ln p; p = 1/2 and 1/4 with gamma 2:
    # (1/4 ln 2 + 9/16 ln 4) / 2 = 11/16 ln 2.
    logits = jnp.log(jnp.array([2.0, 1, 1])) * jnp.ones((1, 1, 1, 2, 1))
    labels = jnp.array([0, 2]).reshape(1, 1, 1, 2)
    assert focal_loss(logits, labels) == pytest.approx(11 / 16 * math.log(2), rel=1e-6)
    # Equation 5 with alpha 0.25 for class 0 and 0.75 for class 2.
    value = focal_loss(logits, labels, class_weights=(0.25, 1.0, 0.75))
    by_hand = (0.25 / 4 * math.log(2) + 0.75 * 9 / 16 * math.log(4)) / 2
    assert value == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_loss_equals_float64(gamma):
    logits, labels = draw()
    _, log_p = exact(logits, labels)
    expected = np.mean((1 - np.exp(log_p)) ** gamma * -log_p)
    value = jax.jit(focal_loss, static_argnums=2)(logits, labels, gamma)
    assert value.dtype == jnp.float32
    assert value == pytest.approx(expected, rel=2e-6)


def test_focal_loss_with_gamma_0_is_cross_entropy():
    logits, labels = draw()
    assert focal_loss(logits, labels, 0.0) == cross_entropy(logits, labels)


def test_focal_gradient_equals_its_derivative():
    # Lin et al., appendix B: ((1-p)^g - g p (1-p)^(g-1) ln p) (p_c - y_c).
    logits, labels = draw()
    p, log_p = exact(logits, labels)
    q = np.exp(log_p)
    slope = (1 - q) ** 2 - 2 * q * (1 - q) * log_p
    expected = slope[..., None] * (p - np.eye(3)[labels]) / labels.size
    gradient = jax.grad(focal_loss)(logits, labels)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_class_weights_weigh_each_voxel_by_its_label():
    logits, labels = draw()
    weights = (0.2, 1.0, 3.0)
    _, log_p = exact(logits, labels)
    expected = np.mean(np.array(weights)[labels] * -log_p)
    value = cross_entropy(logits, labels, weights)
    assert value == pytest.approx(expected, rel=1e-6)
    # A micro-batch each, their mean: the same.
    each = [
        cross_entropy(logits[i : i + 1], labels[i : i + 1], weights) for i in (0, 1)
    ]
    assert value == pytest.approx(float(sum(each)) / 2, rel=1e-6)


def test_class_weights_weigh_the_dice_of_each_class():
    # As by hand above: Dice 6/13 of class 1, 12/22 of class 2, weighed 1 to 3.
    labels = jnp.array([0, 1, 2, 2], jnp.uint8).reshape(1, 1, 1, 4)
    zeros = jnp.zeros((1, 1, 1, 4, 3))
    value = dice_loss(zeros, labels, smooth=0, class_weights=(9.0, 1.0, 3.0))
    assert value == pytest.approx(1 - (6 / 13 + 3 * 12 / 22) / 4, rel=1e-6)


def test_dice_loss_equals_milletari_in_float64():
    logits, labels = draw()
    p, _ = exact(logits, labels)
    g, space = np.eye(3)[labels], (1, 2, 3)
    dice = 2 * (p * g).sum(space) / ((p**2).sum(space) + (g**2).sum(space))
    assert dice_loss(logits, labels) == pytest.approx(1 - dice[:, 1:].mean(), rel=1e-5)


SETTINGS = [
    {"name": "cross_entropy", "class_weights": (1, 2, 3)},
    {"name": "focal"},
    {"name": "focal", "focal_gamma": 0.5},
    {"name": "dice", "class_weights": (0, 1, 2)},
    {"name": "cross_entropy+focal+0.5*dice"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_losses_and_gradients_stay_finite(settings):
    """Logits of 1e4 that are right and wrong; no foreground; bfloat16."""
    sure = np.zeros((1, 2, 2, 2, 3))
    sure[..., 0] = 1e4
    logits = jnp.array([sure, sure, -sure, -sure, 0 * sure, 0 * sure], jnp.bfloat16)
    labels = np.zeros((6, 1, 2, 2, 2), np.uint8)
    labels[1::2] = 1
    loss = jax.jit(jax.vmap(jax.value_and_grad(build(**settings))))
    values, gradients = loss(logits, labels)
    assert values.dtype == jnp.float32 and gradients.dtype == jnp.bfloat16
    assert np.isfinite(values).all()
    assert np.isfinite(np.asarray(gradients, np.float32)).all()
    assert values[0] == pytest.approx(0, abs=1e-5) and values[1] > 0.3


def test_sums_are_built_by_name():
    logits, labels = draw()
    terms = {name: float(term(logits, labels)) for name, term in TERMS.items()}
    both = build(name="cross_entropy + 0.5*dice")(logits, labels)
    expected = terms["cross_entropy"] + 0.5 * terms["dice"]
    assert both == pytest.approx(expected, rel=1e-6)
    old = build(name="cross_entropy_dice")(logits, labels)
    assert old == cross_entropy_dice(logits, labels)
    weighed = build(name="focal", focal_gamma=3.0, class_weights=[1, 2, 3])
    assert weighed(logits, labels) == focal_loss(logits, labels, 3.0, (1, 2, 3))
    assert build() is build(name="cross_entropy")  # compiled once


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "hinge"}, "name is 'hinge', not one of cross_entropy, dice, focal"),
        ({"name": "dice+"}, "nor a sum such as"),
        ({"name": "-1*dice"}, "name is '-1\\*dice'"),
        ({"class_weights": (1, 2)}, "class_weights \\(1.0, 2.0\\): not one"),
        ({"class_weights": (1, 2, -1)}, "not one from 0 on for each class"),
        ({"name": "dice", "class_weights": (1, 0, 0)}, "dice weighs the foreground"),
        ({"focal_gamma": -1}, "focal_gamma is -1"),
    ],
)
def test_what_is_no_loss_is_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        build(**settings)

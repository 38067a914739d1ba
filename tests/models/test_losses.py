import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax.models.losses import (
    cross_entropy,
    cross_entropy_dice,
    dice_loss,
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

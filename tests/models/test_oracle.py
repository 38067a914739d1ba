"""The networks against a plain numpy V-Net in float64, written from the tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from vnet_jax.models import build

ENCODER = {"monai": (1, 1, 2, 3, 2), "caffe": (1, 1, 2, 3, 3)}
ENCODER["diagram"] = (1, 2, 3, 3, 3)
DECODER = {"monai": (2, 2, 1, 1), "caffe": (3, 2, 1, 1), "diagram": (3, 3, 2, 1)}


def correlate(x, w):
    """X (D, H, W, C), w (k, k, k, C, O), zeros outside."""
    y = np.zeros((*x.shape[:-1], w.shape[-1]))
    for i, o in np.ndindex(w.shape[-2:]):
        y[..., o] += ndimage.correlate(x[..., i], w[..., i, o], mode="constant")
    return y


class Oracle:
    """One sample, evaluation: running averages, no dropout."""

    def __init__(self, variables, variant, activation, summation="none", twins=None):
        as64 = jax.tree.map(lambda a: np.asarray(a, np.float64), variables)
        self.params, self.stats = as64["params"], as64.get("batch_stats", {})
        self.variant, self.activation = variant, activation
        self.summation, self.twins = summation, list(twins or [])
        self.given = []

    def act(self, x, stage, name):
        if self.activation == "elu":
            return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
        alpha = self.params[stage][name]["alpha"]
        return np.where(x > 0, x, alpha * x)

    def norm(self, x, stage, name):
        if name not in self.params[stage]:
            return x
        p, s = self.params[stage][name], self.stats[stage][name]
        return (x - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]

    def conv(self, x, stage, name):
        p = self.params[stage][f"conv_{name}"]
        y = correlate(x, p["kernel"]) + p.get("bias", 0)
        return self.norm(y, stage, f"norm_{name}")

    def share(self, x, when):
        if self.summation != when:
            return x
        self.given.append(x)
        return x + self.twins.pop(0) if self.twins else x

    def stage(self, x, residual, stage, count, share=lambda x: x):
        for i in range(count):
            x = self.conv(x, stage, str(i))
            if self.variant != "caffe" or i < count - 1:
                x = self.act(x, stage, f"act_{i}")
            x = share(x)
        return self.act(x + residual, stage, "act_sum")

    def down(self, x, level):
        stage = f"encoder_{level}"
        p = self.params[stage]["down"]
        y = sum(
            x[a::2, b::2, c::2] @ p["kernel"][a, b, c]
            for a, b, c in np.ndindex(2, 2, 2)
        )
        y = self.norm(y + p.get("bias", 0), stage, "norm_down")
        y = self.act(y, stage, "act_down")
        return self.stage(y, y, stage, ENCODER[self.variant][level])

    def up(self, x, skip, level):
        stage = f"decoder_{level}"
        p = self.params[stage]["up"]
        y = np.zeros((*(2 * n for n in x.shape[:3]), p["bias"].size))
        for a, b, c in np.ndindex(2, 2, 2):
            y[a::2, b::2, c::2] = x @ p["kernel"][a, b, c] + p["bias"]
        y = self.act(self.norm(y, stage, "norm_up"), stage, "act_up")
        y = np.concatenate([self.share(y, "per_conv"), skip], -1)
        share = lambda x: self.share(x, "per_conv")  # noqa: E731
        y = self.stage(y, y, stage, DECODER[self.variant][3 - level], share)
        return self.share(y, "per_stage")

    def __call__(self, x):
        width = self.params["encoder_0"]["conv_0"]["kernel"].shape[-1]
        copies = np.concatenate([x] * (width // x.shape[-1]), -1)
        y = self.conv(x, "encoder_0", "0") + copies
        skips = [self.act(y, "encoder_0", "act_sum")]
        for level in (1, 2, 3, 4):
            skips.append(self.down(skips[-1], level))
        y = skips.pop()
        for level in (3, 2, 1, 0):
            y = self.up(y, skips.pop(), level)
        if self.variant != "diagram":
            y = self.act(self.conv(y, "head", "0"), "head", "act_0")
        p = self.params["head"]["logits"]
        return y @ p["kernel"][0, 0, 0] + p["bias"]


def image(channels):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.uniform(-1, 1, (1, 16, 32, 16, channels)), jnp.float32)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize(
    ("variant", "activation", "channels"),
    [
        ("monai", "elu", 1),
        ("monai", "prelu", 4),
        ("caffe", "prelu", 2),
        ("diagram", "prelu", 1),
    ],
)
def test_vnet_equals_the_oracle(filled, variant, activation, channels):
    module = build(
        cascade=False, variant=variant, width=4, activation=activation, classes=2
    )
    x = image(channels)
    variables = filled(module, x.shape)
    (logits,) = jax.jit(module.apply)(variables, x)
    assert logits.shape == (1, 16, 32, 16, 2) and logits.dtype == jnp.float32
    oracle = Oracle(variables, variant, activation)
    close(logits[0], oracle(np.asarray(x[0], np.float64)))


def part(variables, stage):
    return {kind: tree[stage] for kind, tree in variables.items()}


@pytest.mark.parametrize("summation", ["per_stage", "per_conv", "none"])
def test_cascade_equals_two_oracles(filled, summation):
    module = build(cascade=True, width=4, summation=summation)
    x = image(1)
    variables = filled(module, x.shape)
    logits = jax.jit(module.apply)(variables, x)
    first = Oracle(part(variables, "stage1"), "monai", "elu", summation)
    expected = first(np.asarray(x[0], np.float64))
    close(logits[0][0], expected)
    # per_stage: 4 outputs. per_conv: 4 up convolutions and 2 + 2 + 1 + 1 others.
    assert len(first.given) == {"per_stage": 4, "per_conv": 10, "none": 0}[summation]
    p = np.exp(expected) / np.exp(expected).sum(-1, keepdims=True)
    second = Oracle(part(variables, "stage2"), "monai", "elu", summation, first.given)
    close(logits[1][0], second(np.concatenate([p, x[0]], -1)))
    assert not second.twins, "every map was added"

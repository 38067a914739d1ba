"""The same function as MONAI's V-Net and as the twin's cascade, array by array.

At the real width in float32 and float64 for the forward pass; at width 4 in float64 for
training, where MONAI's forward runs on narrower parts of MONAI's.
"""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")
vnet = pytest.importorskip("monai.networks.nets.vnet")

from benchmarks import values_jax, values_torch  # noqa: E402
from benchmarks.probes import RATE, WIDTH  # noqa: E402
from benchmarks.torch_vnet import DECODER, ENCODER, Cascade  # noqa: E402
from vnet_jax.models import build  # noqa: E402

GRADIENT, ONE_STEP, TWENTY_STEPS = 1e-10, 1e-10, 1e-8  # shares of an array's norm


def narrow_monai(channels, act, width=WIDTH):
    """MONAI's V-Net without dropout, its parts MONAI's own at another width."""
    net = vnet.VNet(3, channels, 3, act=act, dropout_prob_down=None)
    none = (None, 0.0)
    net.in_tr = vnet.InputTransition(3, channels, width, act)
    for i, (name, convs) in enumerate(zip(ENCODER, (1, 2, 3, 2), strict=True)):
        setattr(net, name, vnet.DownTransition(3, width * 2**i, convs, act))
    wide = [16 * width, 16 * width, 8 * width, 4 * width, 2 * width]
    for i, (name, convs) in enumerate(zip(DECODER, (2, 2, 1, 1), strict=True)):
        part = vnet.UpTransition(3, wide[i], wide[i + 1], convs, act, none)
        setattr(net, name, part)
    net.out_tr = vnet.OutputTransition(3, 2 * width, 3, act)
    return net


def off(a, b):
    """The distance of two arrays as a share of their norm."""
    return np.linalg.norm(np.subtract(a, b)) / np.linalg.norm(b)


def our_module(cascade, act, dtype, width=WIDTH):
    return build(cascade=cascade, activation=act, width=width, dropout=0.0, dtype=dtype)


@pytest.mark.parametrize(("act", "channels"), [("elu", 1), ("prelu", 4)])
@pytest.mark.parametrize(("dtype", "most"), [("float64", 1e-10), ("float32", 1e-5)])
def test_forward_of_monais_vnet(act, channels, dtype, most):
    net = vnet.VNet(3, channels, 3, act=act)
    state = values_torch.prepare(net)
    (expected,) = values_torch.forward(net, channels)
    with jax.enable_x64(dtype == "float64"):
        state = {k: v.astype(dtype) for k, v in state.items() if v.dtype.kind == "f"}
        module = our_module(False, act, dtype, width=16)
        (got,) = values_jax.forward(module, state, channels)
    assert got.dtype == dtype
    assert np.abs(got - expected).max() <= most * np.abs(expected).max()


TRAINED = {
    "monai, elu": (lambda: narrow_monai(1, "elu"), 1, "elu", (1, 20)),
    "monai, prelu, 4 channels": (lambda: narrow_monai(4, "prelu"), 4, "prelu", (1,)),
    "cascade": (lambda: Cascade(WIDTH, dropout=0.0), 1, "elu", (1, 20)),
    "cascade, prelu, per_conv": (
        lambda: Cascade(WIDTH, 3, "prelu", 0.0, "per_conv"),
        1,
        "prelu",
        (1,),
    ),
}


@pytest.fixture(scope="module", params=TRAINED)
def both(request):
    """(weights at the start, PyTorch's results, ours)."""
    make, channels, act, stops = TRAINED[request.param]
    net = make()
    state = values_torch.prepare(net)
    theirs = values_torch.train(net, channels, stops)
    kind = dict(summation="per_conv") if "per_conv" in request.param else {}
    with jax.enable_x64(True):
        module = our_module("cascade" in request.param, act, "float64").clone(**kind)
        ours = values_jax.train(module, state, channels, stops)
    return state, theirs, ours


def test_loss_and_every_gradient(both):
    _, theirs, ours = both
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-12)
    assert list(ours["grads"]) == list(theirs["grads"])
    largest = max(np.abs(g).max() for g in theirs["grads"].values())
    for name, expected in theirs["grads"].items():
        if name.endswith("up_conv.bias"):  # no true gradient before a batch norm
            for side in (theirs, ours):
                assert np.abs(side["grads"][name]).max() < 1e-12 * largest
        else:
            assert off(ours["grads"][name], expected) <= GRADIENT, name


def test_weights_and_statistics_after_adams_steps(both):
    """Rounding grows a little with each step, and an unused bias wanders.

    A bias before batch norm has a gradient that is rounding alone, of which Adam makes
    whole steps of up to the rate: bounded here, and with it the running mean of that
    norm, which follows its bias. Nothing else sees either.
    """
    state, theirs, ours = both
    for steps, expected in theirs["after"].items():
        got, most = ours["after"][steps], ONE_STEP if steps == 1 else TWENTY_STEPS
        wander = 2 * steps * RATE * (1 + 1e-6)
        for name, value in expected.items():
            bias = name.endswith("up_conv.bias")
            if name.endswith("num_batches_tracked"):
                continue
            if bias or ("up_tr" in name and name.endswith("bn1.running_mean")):
                assert np.abs(got[name] - value).max() <= wander, name
            else:
                assert off(got[name], value) <= most, name
            assert bias or off(value, state[name]) > 1e-9, f"{name} did not move"


def test_the_check_can_fail(both):
    """A kernel's flip, or another epsilon, is far outside the tolerances."""
    state, theirs, _ = both
    name = next(n for n in state if n.endswith("in_tr.conv_block.conv.weight"))
    value = theirs["after"][1][name]
    assert off(np.flip(value, -1), value) > 1e6 * ONE_STEP

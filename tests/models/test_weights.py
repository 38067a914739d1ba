"""MONAI's names and axes, without PyTorch; tests/baseline holds them against MONAI."""

import jax
import numpy as np
import pytest

from vnet_jax.models import build
from vnet_jax.models.monai import Layout, entries
from vnet_jax.models.weights import (
    counters,
    from_state_dict,
    join,
    layout_of,
    to_state_dict,
)


def network(filled, cascade=False, channels=1, seed=0, **model):
    module = build(cascade=cascade, **{"width": 4, "activation": "elu", **model})
    return filled(module, (1, 16, 16, 16, channels), seed)


def zeros(layout):
    return {e.name: np.zeros(e.shape, np.float32) for e in entries(layout)}


@pytest.fixture
def state(filled):
    return to_state_dict(network(filled), 7)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert jax.tree.map(lambda x: x.dtype, a) == jax.tree.map(lambda x: x.dtype, b)


@pytest.mark.parametrize("activation", ["elu", "prelu"])
@pytest.mark.parametrize("cascade", [False, True])
def test_there_and_back_is_exact(filled, cascade, activation):
    variables = network(filled, cascade, activation=activation)
    same(from_state_dict(to_state_dict(variables)), variables)


@pytest.mark.parametrize(
    ("channels", "width", "classes"), [(1, 4, 3), (4, 8, 3), (2, 2, 5)]
)
def test_any_channels_width_and_classes(filled, channels, width, classes):
    variables = network(filled, False, channels, width=width, classes=classes)
    state = to_state_dict(variables)
    assert layout_of(state) == Layout(False, channels, width, classes, "elu")
    same(from_state_dict(state), variables)


def test_what_a_cascade_is(filled):
    state = to_state_dict(network(filled, True, activation="prelu"))
    assert layout_of(state) == Layout(True, 1, 4, 3, "prelu")
    assert state["stage1.in_tr.conv_block.conv.weight"].shape == (4, 1, 5, 5, 5)
    assert state["stage2.in_tr.conv_block.conv.weight"].shape == (4, 4, 5, 5, 5)


def test_where_a_value_goes(filled):
    """Each kind of array at one place, index by index, in a net of width 4."""
    variables = network(filled, activation="prelu")
    p, s = variables["params"], variables["batch_stats"]
    state = to_state_dict(variables)
    conv = state["down_tr128.ops.2.conv_block.conv.weight"]
    assert conv[7, 30, 0, 1, 4] == p["encoder_3"]["conv_2"]["kernel"][0, 1, 4, 30, 7]
    down = state["down_tr64.down_conv.weight"]
    assert down.shape == (16, 8, 2, 2, 2)
    assert down[15, 2, 0, 1, 1] == p["encoder_2"]["down"]["kernel"][0, 1, 1, 2, 15]
    up = state["up_tr256.up_conv.weight"]  # (I, O, ...), unlike the others
    assert up.shape == (64, 32, 2, 2, 2)
    assert up[63, 5, 1, 0, 0] == p["decoder_3"]["up"]["kernel"][1, 0, 0, 63, 5]
    assert state["up_tr64.up_conv.bias"][3] == p["decoder_1"]["up"]["bias"][3]
    logits = state["out_tr.conv2.weight"]
    assert logits[2, 0, 0, 0, 0] == p["head"]["logits"]["kernel"][0, 0, 0, 0, 2]
    norm = "in_tr.conv_block.adn.N"
    assert state[f"{norm}.weight"][1] == p["encoder_0"]["norm_0"]["scale"][1]
    assert state[f"{norm}.bias"][1] == p["encoder_0"]["norm_0"]["bias"][1]
    assert state[f"{norm}.running_mean"][1] == s["encoder_0"]["norm_0"]["mean"][1]
    assert state[f"{norm}.running_var"][1] == s["encoder_0"]["norm_0"]["var"][1]
    alpha = p["encoder_4"]["act_down"]["alpha"]
    assert state["down_tr256.act_function1.weight"][9] == alpha[9]
    assert (
        state["up_tr32.act_function2.weight"][0]
        == p["decoder_0"]["act_sum"]["alpha"][0]
    )
    assert state["out_tr.act_function1.weight"][2] == p["head"]["act_0"]["alpha"][2]


def test_parameters_are_counted_as_MONAI_does():
    """45,605,525 at width 16 with 3 classes and PReLU; 45,611,525 for 4 channels."""

    def count(layout):
        found = [e for e in entries(layout) if e.place[0] == "params"]
        return sum(int(np.prod(e.shape)) for e in found)

    assert count(Layout(False, 1, 16, 3, "prelu")) == 45_605_525
    assert count(Layout(False, 4, 16, 3, "prelu")) == 45_611_525
    assert count(Layout(False, 1, 16, 3, "elu")) == 45_601_906


def test_doubles_stay_doubles(filled):
    variables = jax.tree.map(lambda a: np.asarray(a, np.float64), network(filled))
    state = to_state_dict(variables)
    assert {v.dtype.name for k, v in state.items() if k not in counters(state)} == {
        "float64"
    }
    same(from_state_dict(state), variables)


def test_the_result_has_memory_of_its_own(filled):
    variables = jax.tree.map(np.array, network(filled))
    state = to_state_dict(variables)
    kept = from_state_dict(state)
    for array in state.values():
        array[...] = 0
    same(kept, variables)
    assert all(leaf.flags.c_contiguous for leaf in jax.tree.leaves(kept))


def test_counters(filled, state):
    counts = counters(state)
    assert len(counts) == 24 and set(counts.values()) == {7}
    assert counts["out_tr.conv_block.adn.N.num_batches_tracked"] == 7
    assert state["down_tr32.bn1.num_batches_tracked"].dtype == np.int64
    assert state["down_tr32.bn1.num_batches_tracked"].shape == ()
    counts["down_tr32.bn1.num_batches_tracked"] = 3
    again = to_state_dict(from_state_dict(state), counts)
    assert counters(again) == counts
    without = {k: v for k, v in state.items() if k not in counts}
    assert counters(without) == {}
    same(from_state_dict(without), from_state_dict(state))


def test_two_v_nets_make_a_cascade(filled):
    first, second = network(filled, seed=1), network(filled, channels=4, seed=2)
    state = join(to_state_dict(first, 5), to_state_dict(second, 6))
    both = from_state_dict(state)
    same({k: tree["stage1"] for k, tree in both.items()}, first)
    same({k: tree["stage2"] for k, tree in both.items()}, second)
    assert set(counters(state).values()) == {5, 6}


def test_two_v_nets_that_make_none():
    first, second = Layout(False, 1, 4, 3, "elu"), Layout(False, 4, 4, 3, "elu")
    with pytest.raises(ValueError, match="stage 1 is a V-Net of width 4 with 4 input"):
        join(zeros(second), zeros(first))
    with pytest.raises(ValueError, match="the second with 4 input channels"):
        join(zeros(first), zeros(Layout(False, 4, 8, 3, "elu")))


def without(state, *names):
    return {k: v for k, v in state.items() if k not in names}


def test_missing_unknown_and_misshapen_keys_are_named(state):
    norm = "down_tr32.bn1.weight"
    with pytest.raises(ValueError, match=f"missing {norm}$"):
        layout_of(without(state, norm))
    more = state | {"in_tr.conv_block.conv.bias": np.zeros(4, np.float32)}
    with pytest.raises(ValueError, match=r"unknown in_tr\.conv_block\.conv\.bias$"):
        from_state_dict(more)
    odd = state | {norm: np.zeros(9, np.float32)}
    with pytest.raises(ValueError, match=rf"{norm} is \(9,\), not \(8,\)"):
        from_state_dict(odd)
    with pytest.raises(ValueError, match=r"missing .*, .*, .* and \d+ more"):
        layout_of({k: v for k, v in state.items() if "running" not in k})
    with pytest.raises(ValueError, match=r"num_batches_tracked is \(1,\), not \(\)"):
        layout_of(state | {"up_tr32.bn1.num_batches_tracked": np.zeros(1, np.int64)})


def test_what_is_no_v_net(state):
    with pytest.raises(ValueError, match=r"conv\.weight is missing; it has nothing"):
        layout_of({})
    with pytest.raises(ValueError, match=r"is missing; it has fc\.weight$"):
        layout_of({"fc.weight": np.zeros(3)})
    flat = state["in_tr.conv_block.conv.weight"][..., 0]
    with pytest.raises(ValueError, match=r"is \(4, 1, 5, 5\), wanted are 5 axes"):
        layout_of(state | {"in_tr.conv_block.conv.weight": flat})
    whole = state["up_tr64.bn1.bias"].astype(np.int8)
    with pytest.raises(ValueError, match=r"up_tr64\.bn1\.bias is int8"):
        layout_of(state | {"up_tr64.bn1.bias": whole})


def test_one_alpha_for_all_channels_is_named(filled):
    """PyTorch's own PReLU; MONAI's V-Net gives each channel one."""
    state = to_state_dict(network(filled, activation="prelu"))
    shared = {k: v[:1] if "act_function" in k else v for k, v in state.items()}
    with pytest.raises(ValueError, match=r"act_function\.weight is \(1,\), not \(4,\)"):
        from_state_dict(shared)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"variant": "caffe"}, "unknown params/decoder_0/conv_0/bias"),
        ({"norm": "group"}, "missing batch_stats/encoder_0/norm_0/mean"),
        ({"variant": "diagram", "norm": "batch"}, "missing params/head/conv_0/kernel"),
    ],
)
def test_variables_of_another_network_are_refused(filled, model, named):
    with pytest.raises(ValueError, match=named):
        to_state_dict(network(filled, **model))

"""Weights from and to PyTorch: the state dict of MONAI's V-Net.

The names are those of `monai.networks.nets.VNet`, which is this package's variant
"monai" with batch norm; a cascade has them twice, after "stage1." and "stage2.".
Values are moved and turned, never computed, so both ways are exact. NumPy alone.

A state dict shows neither the kind of an activation without parameters, which is taken
for MONAI's ELU, nor how a cascade's decoders are summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from vnet_jax.models.monai import STAGES, Layout, entries

COUNTER = "num_batches_tracked"  # PyTorch's, beside each running_var
LISTED = 3  # keys that an error names


def to_state_dict(
    variables: Mapping, batches_tracked: int | Mapping[str, int] = 0
) -> dict[str, np.ndarray]:
    """Variables as MONAI's state dict, in MONAI's order.

    Args:
        variables: {"params", "batch_stats"} of a `VNet` or `Cascade` of variant "monai"
            with batch norm; not modified.
        batches_tracked: steps trained, which PyTorch counts in each batch norm; or the
            counts by key, as `counters` returns them.

    Returns:
        Arrays by key, of memory of their own and the dtypes of `variables`; the
        counters are () int64.

    Raises:
        ValueError: variables of another network; names the arrays and shapes.
    """
    here = {"/".join(place): array for place, array in _flat(variables).items()}
    layout = _layout_here(here)
    arrays = {"/".join(e.place): e for e in entries(layout)}
    shapes = {name: np.shape(array) for name, array in here.items()}
    _check(shapes, {name: e.shape_here for name, e in arrays.items()}, layout)
    state = {}
    for name, e in arrays.items():
        turned = np.transpose(np.asarray(here[name]), np.argsort(e.axes))
        state[e.name] = np.array(turned, order="C")
        if counter := _counter(e.name):
            each = isinstance(batches_tracked, Mapping)
            count = batches_tracked.get(counter, 0) if each else batches_tracked
            state[counter] = np.array(count, np.int64)
    return state


def from_state_dict(state: Mapping[str, np.ndarray]) -> dict:
    """MONAI's state dict as variables.

    Args:
        state: arrays by key; not modified. The batch norms' counters may be missing.

    Returns:
        {"params", "batch_stats"}, nested dictionaries of arrays, of memory of their own
        and the dtypes of `state`.

    Raises:
        ValueError: as `layout_of`.
    """
    variables: dict = {}
    for e in entries(layout_of(state)):
        branch = variables
        for name in e.place[:-1]:
            branch = branch.setdefault(name, {})
        turned = np.transpose(np.asarray(state[e.name]), e.axes)
        branch[e.place[-1]] = np.array(turned, order="C")
    return variables


def layout_of(state: Mapping[str, np.ndarray]) -> Layout:
    """What a state dict holds; every key, shape and kind of number is checked.

    Args:
        state: arrays by key, as for `from_state_dict`.

    Returns:
        The network.

    Raises:
        ValueError: unknown or missing keys, shapes that do not fit, or values that are
            no floating-point numbers; names the keys and shapes.
    """
    cascade = any(name.startswith("stage1.") for name in state)
    prefix = "stage1." if cascade else ""
    kernel = _shape(state, f"{prefix}in_tr.conv_block.conv.weight", 5)
    bias = _shape(state, f"{prefix}out_tr.conv2.bias", 1)
    prelu = f"{prefix}in_tr.act_function.weight" in state
    activation = "prelu" if prelu else "elu"
    layout = Layout(cascade, kernel[1], kernel[0], bias[0], activation)
    expected = {e.name: e.shape for e in entries(layout)}
    _check_floating(state, expected)
    expected |= {name: () for name in map(_counter, expected) if name in state}
    shapes = {name: np.shape(array) for name, array in state.items()}
    _check(shapes, expected, layout)
    return layout


def counters(state: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many batches each batch norm has seen, by key; {} where it is not said."""
    return {k: int(v) for k, v in state.items() if k.endswith(f".{COUNTER}")}


def join(stage1: Mapping, stage2: Mapping) -> dict[str, np.ndarray]:
    """The state dict of a cascade from those of its two V-Nets.

    Raises:
        ValueError: the two do not make a cascade; names what differs.
    """
    first, second = layout_of(stage1), layout_of(stage2)
    if first.cascade or second != first.second():
        raise ValueError(
            f"stage 1 is {first}, stage 2 is {second}; wanted are two V-Nets alike, "
            f"the second with {first.second().in_channels} input channels"
        )
    pairs = zip(STAGES, (stage1, stage2), strict=True)
    return {f"{stage}.{k}": v for stage, state in pairs for k, v in state.items()}


def _counter(name: str) -> str:
    """The key of the counter that MONAI has after `name`; "" where there is none."""
    norm, _, last = name.rpartition(".")
    return f"{norm}.{COUNTER}" if last == "running_var" else ""


def _flat(tree: Mapping, place: tuple[str, ...] = ()) -> dict:
    flat = {}
    for name, value in tree.items():
        inside = (*place, name)
        nested = isinstance(value, Mapping)
        flat |= _flat(value, inside) if nested else {inside: value}
    return flat


def _layout_here(arrays: Mapping) -> Layout:
    """The network of variables, by those of their arrays that tell."""
    cascade = any(name.startswith("params/stage1/") for name in arrays)
    stage = "params/stage1" if cascade else "params"
    kernel = _shape(arrays, f"{stage}/encoder_0/conv_0/kernel", 5)
    bias = _shape(arrays, f"{stage}/head/logits/bias", 1)
    prelu = f"{stage}/encoder_0/act_sum/alpha" in arrays
    return Layout(cascade, kernel[3], kernel[4], bias[0], "prelu" if prelu else "elu")


def _shape(arrays: Mapping, name: str, axes: int) -> tuple[int, ...]:
    """The shape of an array that tells what the network is."""
    if name not in arrays:
        held = _listed(arrays) if arrays else "nothing"
        raise ValueError(f"no V-Net of MONAI's form: {name} is missing; it has {held}")
    shape = np.shape(arrays[name])
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{name} is {shape}, wanted are {axes} axes that are not 0")
    return shape


def _check(shapes: Mapping, expected: Mapping, layout: Layout) -> None:
    """Compares names and shapes with those of the network."""
    missing = [name for name in expected if name not in shapes]
    unknown = [name for name in shapes if name not in expected]
    both = [name for name in expected if name in shapes]
    odd = [
        f"{name} is {shapes[name]}, not {expected[name]}"
        for name in both
        if shapes[name] != expected[name]
    ]
    wrong = [f"unknown {_listed(unknown)}"] * bool(unknown)
    wrong += [f"missing {_listed(missing)}"] * bool(missing)
    wrong += [_listed(odd)] * bool(odd)
    if wrong:
        raise ValueError(f"for {layout}: {'; '.join(wrong)}")


def _check_floating(state: Mapping, names: Iterable[str]) -> None:
    for name in names:
        if name in state and np.asarray(state[name]).dtype.kind != "f":
            dtype = np.asarray(state[name]).dtype
            raise ValueError(f"{name} is {dtype}, not a floating-point type")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more

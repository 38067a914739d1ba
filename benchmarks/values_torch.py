"""The PyTorch side of "the same function": values, gradients, Adam's steps, in float64.

    python -m benchmarks.values_torch > tests/models/reference_values.json

writes the fingerprints with which the tests compare where PyTorch is not installed.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from benchmarks.probes import (
    CASES,
    RATE,
    SHAPE,
    Case,
    Values,
    draw_batch,
    draw_state,
    fingerprints,
)
from benchmarks.torch_vnet import Cascade, VNet, loss_of


def network(case: Case) -> torch.nn.Module:
    """The twin of a case."""
    if case.cascade:
        return Cascade(case.width, 3, case.activation, 0.0)
    return VNet(case.channels, 3, case.width, case.activation, 0.0)


def prepare(net: torch.nn.Module) -> Values:
    """Makes a net float64 with drawn weights; returns its state dict."""
    state = draw_state({k: tuple(v.shape) for k, v in net.state_dict().items()})
    net.double().load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    return state


def forward(net: torch.nn.Module, channels: int) -> list[np.ndarray]:
    """Logits of each stage on batch 0 in eval mode, (N, D, H, W, classes)."""
    x, _ = _tensors(0, channels)
    with torch.no_grad():
        logits = net.eval()(x)
    stages = logits if isinstance(logits, tuple) else (logits,)
    return [stage.movedim(1, -1).numpy() for stage in stages]


def train(net: torch.nn.Module, channels: int, stops: tuple[int, ...]) -> dict:
    """Trains with Adam at 1e-4, batch i in step i.

    Returns:
        {"loss", "grads"} of the first step, and {"after": {steps: state dict}}.
    """
    net.train()
    adam = torch.optim.Adam(net.parameters(), RATE)
    found: dict = {"after": {}}
    for step in range(max(stops)):
        x, labels = _tensors(step, channels)
        adam.zero_grad()
        logits = net(x)
        loss = loss_of(logits if isinstance(logits, tuple) else (logits,), labels)
        loss.backward()
        if step == 0:
            found["loss"] = loss.item()
            grads = {k: p.grad.numpy().copy() for k, p in net.named_parameters()}
            found["grads"] = grads
        adam.step()
        if step + 1 in stops:
            state = net.state_dict().items()
            found["after"][step + 1] = {k: v.numpy().copy() for k, v in state}
    return found


def _tensors(index, channels):
    x, labels = draw_batch(index, (*SHAPE, channels))
    return torch.from_numpy(x).movedim(-1, 1).contiguous(), torch.from_numpy(labels)


def main() -> None:
    """Prints the fingerprints of all cases as JSON."""
    stored = {}
    for name, case in CASES.items():
        net = network(case)
        prepare(net)
        logits = forward(net, case.channels)
        logits = {f"stage{i + 1}": x for i, x in enumerate(logits)}
        found = train(net, case.channels, case.stops)
        stored[name] = {
            "loss": found["loss"],
            "logits": fingerprints(logits),
            "grads": fingerprints(found["grads"]),
        }
        for steps, state in found["after"].items():
            stored[name][f"after {steps}"] = fingerprints(state)
    print(json.dumps(stored, separators=(",", ":")))


if __name__ == "__main__":
    main()

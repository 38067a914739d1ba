"""The programs of a run: the only place where training is jitted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
from flax import linen as nn

from vnet_jax import memory
from vnet_jax.models.conv import compiler_options
from vnet_jax.models.losses import Loss, cross_entropy
from vnet_jax.runs import sharding
from vnet_jax.training.state import TrainState, adam, init_state
from vnet_jax.training.step import train_step


class Step:
    """The jitted training step; compiled when it is first asked for, once a shape.

    Attributes:
        compiled: the programs by the shapes of their batch.
    """

    def __init__(self, jitted: Callable):
        """Takes what `jax.jit` returned; compiles nothing."""
        self._jitted = jitted
        self.compiled: dict[tuple, jax.stages.Compiled] = {}

    def lower(self, state: TrainState, batch: dict) -> jax.stages.Lowered:
        """Traces it, for a look at what would be compiled."""
        return self._jitted.lower(state, batch)

    def planned(self, state: TrainState, batch: dict) -> int:
        """Bytes a device that the step takes beside its arguments; compiles."""
        plan = self._program(state, batch).memory_analysis()
        more = plan.output_size_in_bytes - plan.alias_size_in_bytes
        return plan.temp_size_in_bytes + more

    def __call__(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        """Runs it."""
        return self._program(state, batch)(state, batch)

    def _program(self, state, batch):
        shapes = tuple((name, batch[name].shape) for name in sorted(batch))
        if shapes not in self.compiled:
            self.compiled[shapes] = self._jitted.lower(state, batch).compile()
            memory.give_back()  # what compiling took
        return self.compiled[shapes]


@dataclass(frozen=True, eq=False)
class Programs:
    """What runs on the devices.

    Attributes:
        init: key -> state, born whole on every device.
        step: (state, batch) -> (state, metrics); compiled once, donates the state.
        place: puts a restored state on the devices.
        put: puts this process's part of a batch on its devices, cut over them.
        samples: which samples of the global batch that part is.
    """

    init: Callable[[jax.Array], TrainState]
    step: Step
    place: Callable[[TrainState], TrainState]
    put: Callable[[dict], dict]
    samples: list[int]


@functools.cache
def programs(
    module: nn.Module,
    plan: sharding.BatchPlan,
    rate: Callable,
    adam_numbers: tuple[float, float, float],
    stage_weights: tuple[float, ...],
    seed: int,
    loss: Loss = cross_entropy,
    ema: float = 0.0,
) -> Programs:
    """Jits a run's functions, donates its state and names its shardings.

    Args:
        module: the network.
        plan: how the batch goes over the devices.
        rate: the learning rate by step, from `learning_rate`.
        adam_numbers: b1, b2, eps.
        stage_weights: of the stages' losses.
        seed: of dropout.
        loss: of one stage, from `vnet_jax.models.losses.build`.
        ema: decay of the parameters' moving average; 0 keeps none.

    Returns:
        The programs, not compiled yet; for equal arguments the same ones.
    """
    mesh = sharding.mesh_of(plan)
    whole, cut = sharding.replicated(mesh), sharding.over_batch(mesh, plan.axis)
    parts = dict(module=module, optimiser=adam(rate, *adam_numbers), ema=ema)
    objective = dict(stage_weights=stage_weights, loss=loss)
    step = functools.partial(train_step, **parts, **objective, seed=seed)
    return Programs(
        init=jax.jit(functools.partial(init_state, **parts), out_shardings=whole),
        step=Step(
            jax.jit(
                step,
                donate_argnums=0,
                in_shardings=(whole, cut),
                out_shardings=(whole, whole),
                compiler_options=compiler_options(),
            )
        ),
        place=lambda state: sharding.put_whole(state, whole),
        put=lambda batch: sharding.put_batch(batch, plan, cut),
        samples=sharding.own_samples(plan, cut),
    )

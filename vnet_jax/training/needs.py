"""What a run is about to need: memory a device, steps, disk. Known before compiling."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import linen as nn

from vnet_jax import memory
from vnet_jax.errors import InputError
from vnet_jax.models import Own, smallest_volume
from vnet_jax.models.losses import cross_entropy
from vnet_jax.runs import sharding

GB = 1e9
LESS_MEMORY = (
    "lower it with --config.model.remat, --config.model.dtype=bfloat16, "
    "--config.device_batch, --config.mesh.space (more devices a volume) or a smaller "
    "--config.sample.shape, in a new --workdir"
)


@dataclass(frozen=True)
class Needs:
    """Of one device, in bytes, but for the number of parameters.

    Attributes:
        parameters: of the network, how many.
        state: parameters, running averages and the optimiser's memory.
        gradients: of the parameters; twice where micro-batches accumulate. XLA may
            use up some before the last are there.
        activations: what the convolutions give in one forward pass. The backward pass
            reads all of it, with rematerialisation little more; so it is the least
            that a step holds, not all. 0 for a network of the user's own, of which
            that is known only once it is compiled.
    """

    parameters: int
    state: int
    gradients: int
    activations: int

    @property
    def least(self) -> int:
        """Bytes without which no step is possible."""
        return self.state + self.activations

    def __str__(self) -> str:
        """One line for the screen."""
        maps = f"at least {self.activations / GB:.2f} GB of" if self.activations else ""
        return (
            f"{self.parameters / 1e6:.1f} million parameters; a device holds "
            f"{self.state / GB:.2f} GB of state, up to {self.gradients / GB:.2f} GB of "
            f"gradients and {maps or 'what it takes of'} activations"
        )


def of_step(
    module: nn.Module, plan: sharding.BatchPlan, shape: tuple[int, ...], ema: float
) -> Needs:
    """What a training step needs.

    Args:
        module: the network.
        plan: how the batch goes over the devices.
        shape: (D, H, W) voxels of a sample.
        ema: as in the config; above 0 the state has the parameters once more.

    Returns:
        The needs of one device.
    """
    variables = _variables(module)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    size = _bytes(variables["params"])
    running = _bytes(variables) - size
    times = 4 if ema else 3  # Adam's two moments, and the moving average
    own = isinstance(module, Own)
    kept = 0 if own else _kept(module, (plan.held, *shape)) // plan.space
    gradients = size * (2 if plan.micro_batches > 1 else 1)
    return Needs(parameters, times * size + running, gradients, kept)


def check_memory(needs: Needs, free: int | None) -> None:
    """Refuses what cannot fit, before anything is compiled.

    Args:
        needs: of one device.
        free: bytes on one device, None where unknown.

    Raises:
        InputError: less is free than a step needs at the least.
    """
    if free is not None and needs.least > free:
        raise InputError(
            None,
            f"a training step needs at least {needs.least / GB:.1f} GB on each device, "
            f"{free / GB:.1f} GB are free ({needs})",
            LESS_MEMORY,
        )


def check_planned(planned: int, free: int | None) -> None:
    """Refuses what XLA compiled, but what does not fit.

    Args:
        planned: bytes that the compiled step takes beside the state and the batch.
        free: bytes on one device, None where unknown.

    Raises:
        InputError: less is free.
    """
    if free is not None and planned > free:
        raise InputError(
            None,
            f"the compiled training step takes {planned / GB:.1f} GB on each device "
            f"beside its state, {free / GB:.1f} GB are free",
            LESS_MEMORY,
        )


def most_on_disk(needs: Needs, keep_best: int) -> int:
    """Bytes of a run's checkpoints at the most.

    The newest and the best ones stay, and one is written before another goes.
    """
    return (keep_best + 2) * needs.state


def check_disk(needs: Needs, keep_best: int, workdir: Path) -> str:
    """Refuses a run whose checkpoints have no place.

    Args:
        needs: of one device.
        keep_best: as in the config.
        workdir: the run folder, which is there.

    Returns:
        A line for the screen.

    Raises:
        InputError: the disk has less free than what is still to be written.
    """
    most = most_on_disk(needs, keep_best)
    there = sum(f.stat().st_size for f in workdir.rglob("*") if f.is_file())
    free = shutil.disk_usage(workdir).free
    if most - there > free:
        raise InputError(
            workdir,
            f"its checkpoints may take {most / GB:.1f} GB, {free / GB:.1f} GB are free",
            "lower --config.keep_best, or pass a --workdir on a larger disk",
        )
    return (
        f"a checkpoint takes {needs.state / GB:.2f} GB, the run at most "
        f"{most / GB:.1f} GB of {(free + there) / GB:.0f} GB of disk"
    )


def out_of_memory(error: Exception, needs: Needs) -> InputError | None:
    """The one line of a step that ran out of memory; None for any other error."""
    text = str(error)
    if "RESOURCE_EXHAUSTED" not in text and "Out of memory" not in text:
        return None
    free = memory.free_bytes()
    left = f", {free / GB:.1f} GB are free" if free is not None else ""
    return InputError(None, f"out of memory{left} ({needs})", LESS_MEMORY)


@functools.cache
def _variables(module: nn.Module):
    x = jax.ShapeDtypeStruct((1, *smallest_volume(module), 1), jnp.float32)
    return jax.eval_shape(
        functools.partial(module.init, train=False), jax.random.key(0), x
    )


@functools.cache
def _kept(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes that rematerialisation keeps from the forward to the backward pass."""
    variables = _variables(module)
    lean = module.clone(remat=True, spatially_sharded=True, norm_samples=0)

    def backward(params, x, label):
        def loss(params):
            rest = {"batch_stats": variables.get("batch_stats", {})}
            rest = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), rest)
            logits, _ = lean.apply(
                {"params": params, **rest},
                x,
                train=True,
                rngs={"dropout": jax.random.key(0)},
                mutable=["batch_stats"],
            )
            return sum(cross_entropy(stage, label) for stage in logits)

        return jax.vjp(loss, params)[1]

    x = jax.ShapeDtypeStruct((*shape, 1), jnp.float32)
    label = jax.ShapeDtypeStruct(shape, jnp.uint8)
    kept = jax.eval_shape(backward, variables["params"], x, label)
    kernels = {leaf.shape for leaf in jax.tree.leaves(variables)}
    maps = (x for x in jax.tree.leaves(kept) if x.ndim >= 5 and x.shape not in kernels)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in maps)


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

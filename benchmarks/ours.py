"""Our side: one program of vnet_jax, compiled, then called when told to."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import inputs, machine_rates, memory
from benchmarks.pipe import STARTED
from benchmarks.program import Program
from vnet_jax import models
from vnet_jax.models.conv import VARIABLE, compiler_options, which_form
from vnet_jax.runs import sharding
from vnet_jax.training.programs import Programs, programs
from vnet_jax.training.state import learning_rate

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
LONG_S = 10.0  # a call of a CPU that takes longer needs no second one to warm up


class Side:
    """Answers the commands of the parent; see `benchmarks.worker`."""

    def hello(self) -> dict:
        """On what it runs."""
        versions = {name: metadata.version(name) for name in PACKAGES}
        platform = jax.default_backend()
        if platform != "cpu":
            versions["platform"] = jax.devices()[0].client.platform_version
        return {
            "platform": platform,
            "device": sharding.device_in_use(),
            "devices": sharding.available_devices(),
            "convolutions": {d: which_form(d) for d in ("float32", "bfloat16")},
            "versions": versions,
        }

    def rates(self, size: int, megabytes: int, dtypes: list[str]) -> dict:
        """FLOP/s of matrix products and bytes/s of a copy; see `machine_rates`."""
        multiply, add_one = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)

        def product(n, dtype):
            a = jax.random.normal(jax.random.key(0), (n, n), dtype)
            return lambda: multiply(a, a).block_until_ready()

        def copy(count):
            x = jnp.ones(count, jnp.float32)
            return lambda: add_one(x).block_until_ready()

        return machine_rates.measure(product, copy, size, megabytes, dtypes)

    def numpy_rates(self, size: int, megabytes: int) -> dict:
        """The same by NumPy, whose matrix product is faster than XLA's on a CPU."""
        return machine_rates.of_numpy(size, megabytes)

    def prepare(self, settings: dict, export: str = "") -> dict:
        """Compiles a program and calls it once or twice.

        Args:
            settings: of the `Program`.
            export: where to write the weights that it starts from; nowhere if empty.

        Returns:
            compile_s; first_s, from the start of this process to the end of the first
            call; warm_s, a call after that; planned_mb on the devices, as XLA says;
            probe, logits at some voxels, or loss.
        """
        program = Program.of(settings)
        make = {"forward": forward, "train_step": train_step}[program.work]
        with convolutions(program.native):
            self._call, facts = make(program, export)
        began = time.perf_counter()
        result = jax.block_until_ready(self._call())
        warm_s = time.perf_counter() - began
        started = float(os.environ.get(STARTED, "nan"))
        first_s = time.time() - started - facts.pop("export_s")
        if warm_s < LONG_S or jax.default_backend() != "cpu":
            warm_s = self.time()["seconds"]
        facts |= told(program, result)
        return {**facts, "first_s": first_s, "warm_s": warm_s}

    def time(self) -> dict:
        """Seconds of one call, until its results are there."""
        began = time.perf_counter()
        jax.block_until_ready(self._call())
        return {"seconds": time.perf_counter() - began}

    def reset_peak(self) -> dict:
        """Starts the high-water mark of memory anew, where that can be done."""
        return {"reset": memory.reset_high_water()}

    def peak(self) -> dict:
        """MB held at the most: of the first device, or on a CPU of this process."""
        stats = jax.devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            return {"peak_mb": stats["peak_bytes_in_use"] / memory.MB}
        return {"peak_mb": memory.high_water_mb()}


def forward(program: Program, export: str) -> tuple[Callable, dict]:
    """The logits of a batch, weights drawn at random; a call and its facts."""
    module = network(program)
    variables = drawn_variables(module)
    export_s = write_weights(variables, export)
    variables = jax.device_put(variables)
    x = jax.device_put(inputs.draw(program.shape, program.batch)[0][..., None])
    apply = partial(module.apply, train=False)
    apply = jax.jit(apply, compiler_options=compiler_options())
    compiled, facts = compiled_for(apply, variables, x)
    return lambda: compiled(variables, x), {**facts, "export_s": export_s}


def train_step(program: Program, export: str) -> tuple[Callable, dict]:
    """The training step of `vnet_jax.training`, from its own initial values."""
    run = training(program)
    state = run.init(jax.random.key(0, impl="rbg"))
    export_s = write_weights(state.variables, export)
    image, label = inputs.draw(program.shape, program.batch)
    batch = run.put({"image": image[..., None], "label": label})
    compiled, facts = compiled_for(run.step, state, batch)

    def step():
        nonlocal state
        state, metrics = compiled(state, batch)  # the old state is donated
        return metrics, state.step

    return step, {**facts, "export_s": export_s}


def network(program: Program, dropout: float = 0.5):
    """The paper's network."""
    return models.build(
        cascade=program.net == "cascade",
        width=program.width,
        dropout=dropout,
        dtype=program.dtype,
        remat=program.remat,
    )


def training(program: Program, dropout: float = 0.5, rate: float = 1e-4) -> Programs:
    """The jitted functions of a training run: Adam, a batch cut over the devices."""
    plan = sharding.plan_batch(
        program.batch, program.batch // program.devices, program.devices
    )
    return programs(
        network(program, dropout),
        plan,
        learning_rate(rate, 1.0, (), 1),
        (0.9, 0.999, 1e-8),
        (1.0, 1.0),
        seed=0,
    )


@contextlib.contextmanager
def convolutions(native: bool):
    """While it lasts, programs are traced with XLA's own convolutions, if so asked."""
    word = "native" if native else os.environ.get(VARIABLE, "auto")
    with mock.patch.dict(os.environ, {VARIABLE: word}):
        _forget_traces()
        yield
    _forget_traces()


def _forget_traces():
    """What was traced before may hold other convolutions."""
    programs.cache_clear()
    jax.clear_caches()


def compiled_for(function, *arguments) -> tuple[Callable, dict]:
    """Traces and compiles for the arguments: the program, seconds, planned memory."""
    began = time.perf_counter()
    compiled = function.lower(*arguments).compile()
    compile_s = time.perf_counter() - began
    plan = compiled.memory_analysis()
    planned = (
        plan.argument_size_in_bytes
        + plan.output_size_in_bytes
        + plan.temp_size_in_bytes
        - plan.alias_size_in_bytes
    )
    return compiled, {"compile_s": compile_s, "planned_mb": planned / memory.MB}


def drawn_variables(module) -> dict:
    """Variables without compiling their initialisation, as a checkpoint brings them.

    Kernels are uniform as PyTorch's are at the start; all else has its usual start.
    """
    x = jax.ShapeDtypeStruct((1, 16, 16, 16, 1), jnp.float32)
    shapes = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), x)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            bound = np.prod(leaf.shape[:-1]) ** -0.5
            return (rng.random(leaf.shape, np.float32) * 2 - 1) * np.float32(bound)
        return np.full(leaf.shape, float(name in ("scale", "var")), np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def write_weights(variables: dict, path: str) -> float:
    """Writes a PyTorch state dict as .npz, for the twin; seconds that it took."""
    if not path:
        return 0.0
    from vnet_jax.models.weights import to_state_dict

    began = time.perf_counter()
    np.savez(path, **to_state_dict(variables))
    return time.perf_counter() - began


def told(program: Program, result) -> dict:
    """What a first call computed, in a few numbers to compare."""
    if program.work == "train_step":
        return {"loss": float(result[0]["loss"])}
    logits = np.asarray(result[-1])
    logits = logits.reshape(-1, logits.shape[-1])
    return {"probe": logits[inputs.probe_places(len(logits))].ravel().tolist()}

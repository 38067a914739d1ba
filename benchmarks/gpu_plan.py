"""What XLA plans for a GPU that is not here: device memory, layouts, collectives.

    pip install jax-cuda13-plugin==0.10.2    # the version of jaxlib
    python -m benchmarks.gpu_plan

XLA compiles the training step for an H100 that it only has a description of. Nothing
runs, so no time is measured. cuDNN's algorithms are not chosen either, since there is
no GPU to try them on: what workspace they would ask for is not in the plan.
"""

from __future__ import annotations

import argparse
import collections
import functools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

GIB = 2**30
FULL = (80, 240, 384)
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute")
#: What a compiler needs to know of an H100 SXM (NVIDIA's data sheet and tuning guide).
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132
  fpus_per_core: 128 block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535 memory_bandwidth: 3352320000000 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 13 } device_description_str: "NVIDIA H100 80GB HBM3"
"""


@dataclass(frozen=True)
class Plan:
    """One program as XLA compiled it for one device.

    Attributes:
        state_gib: parameters, statistics and Adam's memory, changed in place.
        temporary_gib: everything else at its peak.
        compile_s: on this machine.
        convolutions: layouts of cuDNN's calls and how many have each.
        collectives: how many of each kind.
    """

    state_gib: float
    temporary_gib: float
    compile_s: float
    convolutions: dict[str, int]
    collectives: dict[str, int]

    @property
    def total_gib(self) -> float:
        """What the device must hold."""
        return self.state_gib + self.temporary_gib


def describe_h100(devices: int):
    """So many H100s, none of them here.

    Raises:
        ModuleNotFoundError: jax's CUDA plugin is not installed.
    """
    from jax._src import xla_bridge
    from jax.experimental import topologies

    known = xla_bridge.canonicalize_platform

    def canonical(platform: str) -> str:
        """JAX asks which GPUs are here; here are none (jax issue 23971)."""
        return "cuda" if platform == "gpu" else known(platform)

    xla_bridge.canonicalize_platform = canonical
    try:
        return topologies.get_topology_desc(
            platform="cuda", target_config=H100, topology=f"1x1x{devices}"
        )
    except NotImplementedError:
        raise ModuleNotFoundError("jax-cuda13-plugin is not installed") from None


def train_step(topology, *, cascade, shape, dtype, remat, space=1) -> Plan:
    """Compiles the training step, one sample a device or a group of `space` ones.

    Args:
        topology: from `describe_h100`.
        cascade: else one V-Net.
        shape: voxels (D, H, W).
        dtype: of the computation.
        remat: of the network.
        space: devices that share each sample.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import Mesh

    from vnet_jax import models
    from vnet_jax.models import cudnn
    from vnet_jax.runs import sharding
    from vnet_jax.training.state import adam, init_state, learning_rate
    from vnet_jax.training.step import train_step

    devices = np.array(topology.devices)
    plan = sharding.plan_batch(
        len(devices) // space, 1, len(devices), space=space, shape=shape
    )
    mesh = Mesh(devices.reshape(plan.data, space), ("data", "space"))
    whole, cut = sharding.replicated(mesh), sharding.over_batch(mesh, plan.axis)
    kind = {"dtype": dtype, "remat": remat, "spatially_sharded": space > 1}
    parts = {
        "module": models.build(cascade=cascade, **kind),
        "optimiser": adam(learning_rate(1e-4, 1.0, (), 1), 0.9, 0.999, 1e-8),
    }
    state = jax.eval_shape(functools.partial(init_state, **parts), jax.random.key(0))
    batch = (1, plan.batch_size, *shape)
    step = jax.jit(
        functools.partial(train_step, **parts, stage_weights=(1.0, 1.0), seed=0),
        donate_argnums=0,
        in_shardings=(whole, cut),
        out_shardings=(whole, whole),
    )
    lowered = step.lower(
        state,
        {
            "image": jax.ShapeDtypeStruct((*batch, 1), jnp.float32),
            "label": jax.ShapeDtypeStruct(batch, jnp.uint8),
        },
    )
    began = time.perf_counter()
    compiled = lowered.compile(compiler_options=cudnn.OPTIONS)
    return plan_of(compiled, time.perf_counter() - began)


def plan_of(compiled, compile_s: float) -> Plan:
    """Reads the plan out of a compiled program."""
    memory, text = compiled.memory_analysis(), compiled.as_text()
    convolutions = re.findall(r"dim_labels=(\S+?),.*__cudnn\$conv", text)
    return Plan(
        memory.alias_size_in_bytes / GIB,
        (
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - 2 * memory.alias_size_in_bytes
        )
        / GIB,
        compile_s,
        dict(collections.Counter(convolutions)),
        {
            k: n
            for k in COLLECTIVES
            if (n := len(re.findall(rf" {k}(?:-start)?\(", text)))
        },
    )


def asked(arguments) -> Iterator[dict]:
    """What to compile, in order."""
    common = {
        "cascade": arguments.net == "cascade",
        "shape": tuple(map(int, arguments.shape.split("x"))),
        "dtype": arguments.dtype,
        "space": arguments.space,
    }
    for remat in (True, False):
        yield {**common, "remat": remat}


def main() -> None:
    """Compiles the training step with and without rematerialisation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", default="cascade", choices=["vnet", "cascade"])
    parser.add_argument("--shape", default="x".join(map(str, FULL)))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--space", type=int, default=1)
    arguments = parser.parse_args()
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"  # no cuDNN is needed to plan
    os.environ["XLA_FLAGS"] = "--xla_gpu_autotune_level=0"
    topology = describe_h100(arguments.devices)
    print("| remat | state GiB | temporary GiB | all GiB | compile s |")
    print("|---|---|---|---|---|")
    for what in asked(arguments):
        plan = train_step(topology, **what)
        cells = [what["remat"]]
        numbers = [plan.state_gib, plan.temporary_gib, plan.total_gib, plan.compile_s]
        cells += [f"{n:.2f}" for n in numbers]
        print("|", " | ".join(map(str, cells)), "|", flush=True)
        print(f"  convolutions {plan.convolutions}, collectives {plan.collectives}")


if __name__ == "__main__":
    main()

import argparse

import jax
import jax.numpy as jnp

from benchmarks import gpu_plan


class Compiled:
    """A program for a GPU, as far as a plan reads it."""

    def __init__(self, compiled):
        self.memory_analysis = compiled.memory_analysis

    def as_text(self):
        conv = 'dim_labels=bf012_oi012->bf012, custom_call_target="__cudnn$convForward"'
        reduce = "%a = f32[8] all-reduce(%b), channel_id=1"
        start = "%c = ((f32[8]), (f32[8])) all-reduce-start(%b), channel_id=2"
        lines = [conv, conv, reduce, start, "%d = f32[8] all-reduce-done(%c)"]
        return "\n".join([*lines, "%all-reduce.1 = get(%a)"])


def test_a_plan_tells_what_is_changed_in_place_from_what_comes_and_goes():
    def change(state, x):
        return state + jnp.sum(x @ x)

    state = jnp.zeros((256, 256))  # 256 KiB, donated
    x = jnp.zeros((512, 512))  # 1 MiB in, 1 MiB for the product
    program = jax.jit(change, donate_argnums=0).lower(state, x).compile()
    plan = gpu_plan.plan_of(Compiled(program), 2.0)
    assert plan.state_gib == 256 / 2**20
    assert 1.0 <= 2**10 * plan.temporary_gib < 2.5
    assert plan.total_gib == plan.state_gib + plan.temporary_gib
    assert plan.convolutions == {"bf012_oi012->bf012": 2}
    assert plan.collectives == {"all-reduce": 2}


def test_every_way_to_hold_less_is_compiled():
    said = argparse.Namespace(
        net="cascade", shape="16x32x48", dtype="bfloat16", space=1
    )
    ways = list(gpu_plan.asked(said))
    assert [w["remat"] for w in ways] == [True, False]
    assert {w["shape"] for w in ways} == {(16, 32, 48)} and ways[0]["cascade"]

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vnet_jax.errors import InputError
from vnet_jax.runs.checkpoint import Checkpoints
from vnet_jax.runs.digest import digest


def same(a, b) -> bool:
    equal = jax.tree.map(lambda x, y: np.array_equal(x, y) and x.dtype == y.dtype, a, b)
    return jax.tree.all(equal)


def save_scored(make, checkpoints, scores):
    for step, score in scores.items():
        checkpoints.save(step, make(step))
        if score is not None:
            checkpoints.score(step, score)


def damage(folder: Path) -> None:
    """Flips a bit in the middle of every array file."""
    for file in folder.rglob("d/*"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 16
        file.write_bytes(bytes(data))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_what_is_saved_is_restored(make, tmp_path, norm, average):
    state = make(7, norm, average)
    with Checkpoints(tmp_path / "c") as checkpoints:
        checkpoints.save(7, state)
    abstract = make(0, norm, average)
    step, restored = Checkpoints(tmp_path / "c").restore_latest(abstract)
    assert step == 7
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert same(restored, state)


def test_inference_reads_the_average_where_one_is_kept(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, make(3, average=True))
    read = Checkpoints(tmp_path).variables(3)
    assert same(read["params"], jax.tree.map(lambda p: p / 2, make(3).params))


def test_inference_needs_neither_the_optimiser_nor_the_structure(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, make(3))
    for file in (tmp_path / "3" / "rest").rglob("*"):
        if file.is_file():
            file.unlink()
    read = Checkpoints(tmp_path).variables(3)
    assert same(read["params"], make(3).params)
    assert same(read["batch_stats"], make(3).batch_stats)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(read))


def test_the_state_may_be_donated_as_soon_as_save_returns(make, tmp_path):
    overwrite = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    state = make(1)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        jax.block_until_ready(overwrite(state))
    assert same(Checkpoints(tmp_path).restore_latest(make(0))[1], make(1))


def test_kept_are_the_newest_and_the_best(make, tmp_path):
    scores = {1: 0.5, 2: 0.9, 3: 0.7, 4: None, 5: 0.6, 6: 0.1, 7: None, 8: None}
    with Checkpoints(tmp_path, keep_best=2) as checkpoints:
        save_scored(make, checkpoints, scores)
        assert checkpoints.best() == [(2, 0.9), (3, 0.7)]
    assert Checkpoints(tmp_path, keep_best=2).steps() == [2, 3, 8]
    assert Checkpoints(tmp_path, keep_best=2).best() == [(2, 0.9), (3, 0.7)]


def test_the_disk_is_bounded_at_every_moment(make, tmp_path):
    most = 0
    with Checkpoints(tmp_path, keep_best=3) as checkpoints:
        for step in range(1, 15):
            checkpoints.save(step, make(step))
            checkpoints.score(step, step / 20)  # each beats all before it
            most = max(most, sum(p.is_dir() for p in tmp_path.iterdir()))
    assert most <= 3 + 2  # the best, the newest, and the one that takes its place
    assert Checkpoints(tmp_path).steps() == [12, 13, 14]


def test_of_two_equal_scores_the_later_one_is_better(make, tmp_path):
    with Checkpoints(tmp_path, keep_best=1) as checkpoints:
        save_scored(make, checkpoints, {1: 0.5, 2: 0.5, 3: None})
    assert Checkpoints(tmp_path, keep_best=1).steps() == [2, 3]


def test_the_best_list_goes_on_after_a_restart(make, tmp_path):
    with Checkpoints(tmp_path, keep_best=2) as checkpoints:
        save_scored(make, checkpoints, {1: 0.5, 2: 0.9, 3: None})
    with Checkpoints(tmp_path, keep_best=2) as checkpoints:
        checkpoints.restore_latest(make(0))
        save_scored(make, checkpoints, {4: 0.7, 5: 0.2})
        assert checkpoints.best() == [(2, 0.9), (4, 0.7)]
    assert Checkpoints(tmp_path).steps() == [2, 4, 5]


def test_a_step_that_is_there_is_not_saved_again(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1))
        checkpoints.save(1, make(2))
    assert same(Checkpoints(tmp_path).restore_latest(make(0))[1].params, make(1).params)


@pytest.mark.parametrize("score", [float("nan"), 0.5])
def test_a_score_needs_a_number_and_a_saved_step(make, tmp_path, score):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1))
        with pytest.raises(ValueError, match="step 2"):
            checkpoints.score(2, score)


@pytest.mark.parametrize("part", ["variables", "rest"])
def test_a_damaged_newest_gives_way_to_the_one_before(make, tmp_path, part):
    with Checkpoints(tmp_path) as checkpoints:
        save_scored(make, checkpoints, {1: 0.5, 2: 0.9, 3: 0.7})
    damage(tmp_path / "3" / part)
    said = []
    step, state = Checkpoints(tmp_path).restore_latest(make(0), warn=said.append)
    assert step == 2 and same(state, make(2))
    assert len(said) == 1 and "3: damaged checkpoint" in said[0]
    assert Checkpoints(tmp_path).steps() == [1, 2]
    assert Checkpoints(tmp_path).best() == [(2, 0.9), (1, 0.5)]


def test_strict_refuses_a_damaged_newest(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        save_scored(make, checkpoints, {1: 0.5, 2: 0.9})
    damage(tmp_path / "2")
    with pytest.raises(InputError, match="damaged checkpoint"):
        Checkpoints(tmp_path).restore_latest(make(0), strict=True)
    assert Checkpoints(tmp_path).steps() == [1, 2]


def test_where_none_can_be_read_none_is_removed(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        save_scored(make, checkpoints, {1: 0.5, 2: 0.9})
    other = make(0).replace(params={"conv": {"kernel": jnp.zeros((9, 9))}})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match="none of the 2 checkpoints"):
            Checkpoints(tmp_path).restore_latest(other)
    assert sum("damaged checkpoint" in str(w.message) for w in said) == 2
    assert Checkpoints(tmp_path).steps() == [1, 2]


def test_values_that_differ_from_their_digest_are_damage(make, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        save_scored(make, checkpoints, {1: None, 2: None})
    variables = {"params": make(2).params, "batch_stats": make(2).batch_stats}
    assert Checkpoints(tmp_path).digest(2) == digest(variables)
    meta = tmp_path / "2" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace(Checkpoints(tmp_path).digest(2), "0" * 64))
    with pytest.raises(InputError, match="checksum of its variables differs"):
        Checkpoints(tmp_path).variables(2)


def test_a_missing_step_is_refused(tmp_path):
    with pytest.raises(InputError, match="damaged checkpoint"):
        Checkpoints(tmp_path).variables(5)


FILLER = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from conftest import make
from vnet_jax.errors import InputError
from vnet_jax.runs.checkpoint import Checkpoints
values = np.random.default_rng(0).normal(size=100_000)
state = make(2).replace(params={"conv": {"kernel": values}})
with Checkpoints(sys.argv[1]) as checkpoints:
    checkpoints.save(1, make(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    with Checkpoints(sys.argv[1]) as checkpoints:
        checkpoints.save(2, state)
except InputError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_the_older_steps_stay(make, tmp_path):
    # A limit on the size of a file stands in for a full disk.
    command = [sys.executable, "-c", FILLER, str(tmp_path / "c"), Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "c: a checkpoint cannot be written" in done.stdout
    assert done.stdout.count("\n") == 1
    step, state = Checkpoints(tmp_path / "c").restore_latest(make(0), strict=True)
    assert step == 1 and same(state, make(1))


SAVER = """
import sys
sys.path.insert(0, sys.argv[2])
from conftest import make
from vnet_jax.runs.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1], keep_best=2)
start = max(checkpoints.steps(), default=0)
if start:
    start = checkpoints.restore_latest(make(0), strict=True)[0]
for step in range(start + 1, 10**6):
    checkpoints.save(step, make(step))
    if step % 3 == 0:
        checkpoints.score(step, (step % 7) / 7)
"""


def kill_while_saving(make, folder: Path, times: int) -> None:
    """Kills a process that saves on and on; each one starts where the last one was."""
    rng = random.Random(0)
    reached = 0
    for _ in range(times):
        command = [sys.executable, "-c", SAVER, str(folder), str(Path(__file__).parent)]
        child = subprocess.Popen(command)
        checkpoints = Checkpoints(folder, keep_best=2)
        while max(checkpoints.steps(), default=0) <= reached and child.poll() is None:
            time.sleep(0.01)  # a slow machine may take long to save its first step
        time.sleep(rng.uniform(0.0, 0.4))
        assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        step, state = checkpoints.restore_latest(make(0), strict=True)
        assert step >= reached and same(state, make(step))
        assert len(checkpoints.steps()) <= 2 + 2
        reached = step
    assert reached > 0


def test_killed_while_saving_the_newest_whole_step_restores(make, tmp_path):
    kill_while_saving(make, tmp_path / "c", times=2)


@pytest.mark.slow
def test_killed_while_saving_twenty_times(make, tmp_path):
    kill_while_saving(make, tmp_path / "c", times=20)

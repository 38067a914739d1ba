import threading
from dataclasses import dataclass

import numpy as np
import pytest

from vnet_jax.data.loader import Loader, LoaderError, epoch_order, steps_per_epoch


@dataclass(frozen=True)
class Named:
    """All that the loader itself asks of a case."""

    id: str


CASES = [Named(f"case_{i:05d}") for i in range(13)]


def draw(case, rng, out=None):
    """A sample that shows its case and its random number."""
    image = np.full((1, 2, 2, 1), rng.random(), np.float32)
    return image, np.full((1, 2, 2), int(case.id[-2:]), np.uint8)


def draw_in_place(case, rng, out):
    """The same sample, written where it belongs."""
    for there, array in zip(out, draw(case, rng), strict=True):
        there[...] = array
    return out


def load(**options):
    args = (
        dict(cases=CASES, sample=draw, shape=(1, 2, 2), batch_size=4, seed=7) | options
    )
    return Loader(**args)


def same(one, two):
    assert one["ids"] == two["ids"]
    np.testing.assert_array_equal(one["image"], two["image"])
    np.testing.assert_array_equal(one["label"], two["label"])


def test_steps_of_an_epoch():
    assert steps_per_epoch(13, 4) == 4
    assert steps_per_epoch(12, 4) == 3
    assert steps_per_epoch(1, 4) == 1
    with pytest.raises(ValueError, match="0 cases"):
        steps_per_epoch(0, 4)


def test_shapes_and_types():
    with load(stop_step=1) as loader:
        ((step, batch),) = list(loader)
    assert step == 0
    assert batch["image"].shape == (4, 1, 2, 2, 1)
    assert batch["label"].shape == (4, 1, 2, 2)
    assert (batch["image"].dtype, batch["label"].dtype) == (np.float32, np.uint8)
    labels = batch["label"][:, 0, 0, 0]
    assert batch["ids"] == [f"case_{n:05d}" for n in labels]


def test_a_sample_may_be_drawn_into_its_place():
    with load(stop_step=9, sample=draw_in_place) as placed, load(stop_step=9) as copied:
        for (_, one), (_, two) in zip(placed, copied, strict=True):
            same(one, two)


def test_batches_that_are_kept_are_not_written_to_again():
    with load(stop_step=40, sample=draw_in_place) as loader:
        kept = [(step, batch, batch["image"].copy()) for step, batch in loader]
    for _, batch, image in kept:
        np.testing.assert_array_equal(batch["image"], image)


def test_a_sample_of_another_shape_or_type_is_refused():
    def narrow(case, rng, out):
        image, label = draw(case, rng)
        return image, label[:, :1, :1].astype(np.int16)

    with load(sample=narrow) as loader, pytest.raises(LoaderError, match="case_000"):
        next(loader)


def test_an_epoch_is_a_permutation_filled_from_its_own_start():
    with load(stop_step=8) as loader:
        ids = [name for _, batch in loader for name in batch["ids"]]
    first, second = ids[:16], ids[16:]
    for epoch in (first, second):
        assert sorted(epoch[:13]) == [case.id for case in CASES]
        assert epoch[13:] == epoch[:3]
    assert first != second


def test_a_batch_larger_than_the_data_set():
    with load(cases=CASES[:2], batch_size=5, stop_step=1) as loader:
        ((_, batch),) = list(loader)
    assert batch["ids"][:2] == batch["ids"][2:4]
    assert batch["ids"][4] == batch["ids"][0]
    # A case that comes again in a batch is drawn anew.
    assert batch["image"][0, 0, 0, 0, 0] != batch["image"][2, 0, 0, 0, 0]


@pytest.mark.parametrize(("threads", "prefetch"), [(1, 1), (3, 1), (2, 5)])
def test_threads_change_nothing_and_steps_come_in_order(threads, prefetch):
    with load(stop_step=9, threads=threads, prefetch=prefetch) as loader:
        steps = list(loader)
        assert [step for step, _ in steps] == list(range(9))
        for step, batch in steps:
            same(batch, loader.batch_at(step))


def test_resumed_is_the_same_as_never_stopped():
    with load(stop_step=9) as whole, load(start_step=5, stop_step=9) as rest:
        batches = dict(whole)
        for step, batch in rest:
            same(batch, batches[step])
    assert step == 8


def test_processes_load_their_own_samples_of_the_global_batch():
    with load() as whole, load(samples=[0, 2]) as even, load(samples=[3]) as last:
        for step in (0, 3, 11):
            some, one, all_ = (x.batch_at(step) for x in (even, last, whole))
            assert some["ids"] == one["ids"] == all_["ids"]
            np.testing.assert_array_equal(some["image"], all_["image"][[0, 2]])
            np.testing.assert_array_equal(one["label"], all_["label"][3:])


def test_the_seed_and_the_step_and_the_place_matter():
    with load() as loader, load(seed=8) as other:
        batches = [loader.batch_at(step) for step in range(4)]
        numbers = np.concatenate([b["image"][:, 0, 0, 0, 0] for b in batches])
        assert len(np.unique(numbers)) == 16
        assert (other.batch_at(0)["image"] != batches[0]["image"]).all()
    assert (epoch_order(7, 0, 13) != epoch_order(8, 0, 13)).any()


def test_the_random_numbers_are_frozen():
    # Other numbers would make a resumed run another run: a change here is a change of
    # what a checkpoint means.
    np.testing.assert_array_equal(epoch_order(0, 0, 8), [7, 0, 1, 6, 5, 2, 3, 4])
    with load(seed=0) as loader:
        drawn = loader.batch_at(0)["image"][:, 0, 0, 0, 0]
    expected = [0.45309360, 0.89203196, 0.45688573, 0.72317024]
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)


def broken(case, rng, out):
    if case.id == "case_00003":
        raise OSError("the disk is gone")
    return draw(case, rng, out)


def test_a_fault_reaches_the_consumer_with_the_name_of_the_case():
    with load(sample=broken) as loader:
        with pytest.raises(
            LoaderError, match=r"case_00003.*the disk is gone"
        ) as caught:
            for _ in loader:
                pass
    assert isinstance(caught.value.__cause__, OSError)


def test_a_fault_ahead_does_not_wait_for_its_turn():
    last = CASES[epoch_order(7, 0, 13)[12]].id  # drawn first at step 3
    release = threading.Event()

    def fails_at_step_3(case, rng, out):
        if case.id == last:
            raise OSError("unreadable")
        release.wait()
        return draw(case, rng, out)

    loader = load(sample=fails_at_step_3, threads=4)
    try:
        with pytest.raises(LoaderError, match=f"{last}, step 3"):
            next(loader)  # step 0, whose samples are still in work
    finally:
        release.set()


def test_a_read_that_hangs_is_told_with_the_names():
    release = threading.Event()

    def hangs(case, rng, out):
        release.wait()
        return draw(case, rng, out)

    loader = load(sample=hangs, patience_s=0.1)
    ids = [CASES[i].id for i in epoch_order(7, 0, 13)[:4]]
    try:
        with pytest.raises(LoaderError, match=", ".join(ids)):
            next(loader)
    finally:
        release.set()


def test_no_more_than_prefetch_is_made_ahead():
    made = []

    def counted(case, rng, out):
        made.append(case.id)
        return draw(case, rng, out)

    with load(sample=counted, threads=1, prefetch=2) as loader:
        next(loader)
        next(loader)
    assert len(made) <= 4 * (2 + 2)


def test_close_ends_the_threads_even_with_work_waiting():
    before = threading.active_count()
    loader = load(threads=3, prefetch=6)
    assert threading.active_count() == before + 3
    next(loader)
    loader.close()
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(loader)
    loader.close()


def test_the_end_closes_too():
    before = threading.active_count()
    assert len(list(load(stop_step=2))) == 2
    assert threading.active_count() == before
    assert list(load(start_step=3, stop_step=3)) == []


def test_waiting_is_counted():
    release = threading.Event()

    def slow(case, rng, out):
        release.wait(0.05)
        return draw(case, rng, out)

    with load(sample=slow, threads=1, prefetch=1, stop_step=1) as loader:
        assert loader.waiting_s == 0
        next(loader)
        assert loader.waiting_s > 0


@pytest.mark.parametrize(
    "options",
    [
        dict(cases=[]),
        dict(batch_size=0),
        dict(threads=0),
        dict(samples=[]),
        dict(samples=[4]),
    ],
)
def test_numbers_that_cannot_work(options):
    before = threading.active_count()
    with pytest.raises(ValueError, match=r"\d"):
        load(**options)
    assert threading.active_count() == before

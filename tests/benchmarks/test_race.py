import numpy as np
import pytest

from benchmarks import race_task
from benchmarks.pipe import NotRun
from benchmarks.race import Runner


class Script:
    """A worker that answers what the test says."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def ask(self, do, **arguments):
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise NotRun(answer)
        return answer


def trained(seconds, loss=0.5):
    return {"seconds": seconds, "loss": loss}


def scored(seconds, dice):
    return {"seconds": seconds, "dice": dice}


def test_dice_by_hand():
    label = np.array([1, 1, 2, 2, 0])
    predicted = np.array([1, 0, 2, 2, 2])
    # 1: 2 x 1 / (1 + 2); 2: 2 x 2 / (3 + 2)
    assert race_task.foreground_dice(predicted, label) == pytest.approx(
        (2 / 3 + 0.8) / 2
    )


def test_a_step_has_the_same_batch_on_both_sides_and_no_other_step_has():
    image, label = race_task.batch(3, 2)
    again = race_task.batch(3, 2)
    assert image.shape == label.shape == (2, *race_task.SHAPE)
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    assert np.array_equal(image, again[0]) and np.array_equal(label, again[1])
    assert not np.array_equal(image, race_task.batch(4, 2)[0])
    assert not np.array_equal(image, race_task.validation(2)[0])


def test_both_kinds_are_there_and_look_alike_on_the_surface():
    image, label = race_task.validation()
    share = [(label == kind).mean() for kind in (0, 1, 2)]
    assert share[0] < 0.95 and min(share[1:]) > 0.01
    solid, hollow = (image[label == kind] for kind in (1, 2))
    assert solid.mean() == pytest.approx(race_task.BRIGHT, abs=0.02)
    assert hollow.max() > race_task.BRIGHT > hollow.mean()


def test_seconds_add_up_and_the_target_ends_it():
    answers = [trained(2.0), scored(0.5, 0.4), trained(3.0), scored(0.25, 0.9)]
    runner = Runner("a", Script(*answers), prepare_s=10.0, compile_s=8.0)
    assert runner.runs(0.85, 400)
    runner.advance(10)
    assert runner.runs(0.85, 400) and not runner.runs(0.85, 10)
    runner.advance(10)
    assert not runner.runs(0.85, 400)
    result = runner.result(0.85)
    assert (result["steps"], result["training_s"], result["total_s"]) == (
        20,
        5.0,
        15.75,
    )
    assert result["reached"] and [p["dice"] for p in result["curve"]] == [0.4, 0.9]


def test_a_runner_that_falls_says_why():
    runner = Runner("a", Script(trained(2.0), scored(0.5, 0.4), "out of memory"))
    runner.advance(10)
    runner.advance(10)
    assert not runner.runs(0.85, 400)
    result = runner.result(0.85)
    assert (result["not_run"], result["steps"]) == ("out of memory", 10)
    assert not result["reached"]

import json
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event

from vnet_jax.errors import InputError
from vnet_jax.runs.log import RunLog, cut_back, read_log


def write_three(folder):
    with RunLog(folder) as log:
        log.write("start", 0, changed={})
        log.write("train", 1, loss=0.1 + 0.2, ids=["a"])
        log.write("train", 2, loss=0.25)
        log.write("validation", 2, mean=0.5)
        log.write("train", 3, loss=0.125)


def events(folder) -> list[Event]:
    """The events of all files, oldest first: length, 4 bytes, event, 4 bytes each."""
    found = []
    for file in sorted((folder / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def scalars(folder) -> list[tuple[str, int, float]]:
    return [
        (value.tag, event.step, value.simple_value)
        for event in events(folder)
        for value in event.summary.value
    ]


def test_what_is_written_is_read(tmp_path):
    write_three(tmp_path)
    rows = read_log(tmp_path)
    assert [row["step"] for row in rows] == [0, 1, 2, 2, 3]
    assert rows[1] == {"kind": "train", "step": 1, "loss": 0.1 + 0.2, "ids": ["a"]}
    assert rows == read_log(tmp_path / "log.jsonl")


def test_a_row_is_in_the_file_at_once(tmp_path):
    with RunLog(tmp_path) as log:
        log.write("train", 1, loss=1.0)
        assert json.loads((tmp_path / "log.jsonl").read_text())["loss"] == 1.0


def test_no_log_is_no_rows(tmp_path):
    assert read_log(tmp_path) == []
    assert cut_back(tmp_path, 0, validated=False) == 0


def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path):
    write_three(tmp_path)
    file = tmp_path / "log.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    assert [row["step"] for row in read_log(tmp_path)] == [0, 1, 2, 2]
    cut_back(tmp_path, 3, validated=True)
    with RunLog(tmp_path, 3) as log:
        log.write("train", 4, loss=1.0)
    assert [row["step"] for row in read_log(tmp_path)] == [0, 1, 2, 2, 4]


def test_a_torn_line_in_the_middle_is_refused_by_its_number(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"kind": "train"\n{"kind": "end"}\n')
    with pytest.raises(InputError, match="line 1 is not JSON"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    ("step", "validated", "left"),
    [
        (3, True, ["start", "train", "train", "validation", "train"]),
        (2, True, ["start", "train", "train", "validation"]),
        (2, False, ["start", "train", "train"]),
        (1, True, ["start", "train"]),
        (0, False, ["start"]),
    ],
)
def test_cutting_back_leaves_what_the_step_had_seen(tmp_path, step, validated, left):
    write_three(tmp_path)
    assert cut_back(tmp_path, step, validated=validated) == 5 - len(left)
    assert [row["kind"] for row in read_log(tmp_path)] == left
    assert not list(tmp_path.glob("*.tmp"))


def test_tensorboard_has_the_numbers_and_only_them(tmp_path):
    write_three(tmp_path)
    assert scalars(tmp_path) == [
        ("train/loss", 1, pytest.approx(0.3)),
        ("train/loss", 2, 0.25),
        ("validation/mean", 2, 0.5),
        ("train/loss", 3, 0.125),
    ]


def test_a_resumed_run_hides_later_steps_from_tensorboard(tmp_path):
    write_three(tmp_path)
    before = len(events(tmp_path))
    with RunLog(tmp_path, start_step=2) as log:
        log.write("train", 3, loss=1.0)
    starts = [e.step for e in events(tmp_path)[before:] if e.session_log.status == 1]
    assert starts == [3]  # SessionLog.START: what was written from step 3 on is void

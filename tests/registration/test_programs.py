import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vnet_jax.errors import InputError
from vnet_jax.registration.programs import LOG, ProgramFailed, Usage, run

ROOT = Path(__file__).parents[2]


def python(code):
    return [sys.executable, "-c", code]


def test_what_it_used_is_measured(tmp_path):
    code = "import time; x = bytearray(200_000_000); t = time.process_time()\n"
    code += "while time.process_time() < t + 0.3: pass"
    usage = run(python(code), tmp_path)
    assert usage.cpu_s >= 0.3
    assert usage.wall_s >= 0.3
    assert 200 < usage.memory_mb < 300


def test_a_folder_below_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    assert run(python("open('made', 'w')"), Path("below")).wall_s > 0
    assert (tmp_path / "below" / "made").is_file()


def test_the_memory_is_not_that_of_the_caller(tmp_path):
    mine = bytearray(300_000_000)
    assert run(python("pass"), tmp_path).memory_mb < 100
    del mine


def test_usages_add_up():
    total = Usage(1, 2, 300) + Usage(10, 20, 30)
    assert total == Usage(11, 22, 300)


def test_a_failure_tells_the_last_line(tmp_path):
    with pytest.raises(ProgramFailed, match="status 3: out of luck"):
        run(python("print('out of luck\\n'); raise SystemExit(3)"), tmp_path)
    assert "out of luck" in (tmp_path / LOG).read_text()


def test_a_killed_program_is_no_bad_pair(tmp_path):
    with pytest.raises(InputError, match=r"ended by signal 9.*fewer --workers"):
        run(python("import os; os.kill(os.getpid(), 9)"), tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux' kernel does it")
def test_it_ends_with_a_caller_that_is_killed(tmp_path):
    child = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from pathlib import Path\n"
        "from vnet_jax.registration.programs import run\n"
        f"run([sys.executable, '-c', {child!r}], Path({str(tmp_path)!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    caller = subprocess.Popen(python(code), env=environment)
    pid = int(_await(lambda: (tmp_path / "pid").is_file() and _text(tmp_path / "pid")))
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    assert _await(lambda: not _runs(pid))


def _text(path):
    return path.read_text()


def _runs(pid):
    """Whether it is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _await(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")

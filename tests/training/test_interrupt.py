import signal
import threading

import pytest

from vnet_jax.training.interrupt import Interruption


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_the_first_signal_is_noted(number, status):
    before = signal.getsignal(number)
    with Interruption() as stop:
        assert not stop and stop.exit_status == 0
        signal.raise_signal(number)
        assert stop and stop.exit_status == status
    assert signal.getsignal(number) is before


@pytest.fixture
def ctrl_c_raises():
    """As in a terminal; a shell's background jobs start with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_raises")
def test_the_second_ctrl_c_acts_at_once():
    with pytest.raises(KeyboardInterrupt), Interruption() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop
        signal.raise_signal(signal.SIGINT)


def test_the_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), Interruption():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_signals_are_left_alone():
    seen = []

    def work():
        with Interruption() as stop:
            seen.append((signal.getsignal(signal.SIGINT), bool(stop)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGINT), False)]

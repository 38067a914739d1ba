import logging
import sys

import pytest

from vnet_jax.runs.faults import tell_once


@pytest.fixture
def quiet():
    """As after the first save; put back afterwards."""
    before = sys.unraisablehook
    tell_once.__wrapped__()
    yield
    sys.unraisablehook = before


@pytest.mark.parametrize("name", ["absl", "asyncio"])
def test_only_what_orbax_raises_later_is_kept_off_the_screen(quiet, caplog, name):
    logger = logging.getLogger(name)
    try:
        raise ValueError("no space left")
    except ValueError:
        logger.exception("Task exception was never retrieved: orbax/checkpoint/x.py")
        logger.exception("Task exception was never retrieved: mine.py")
    logger.error("orbax has something to say")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "Task exception was never retrieved: mine.py",
        "orbax has something to say",
    ]

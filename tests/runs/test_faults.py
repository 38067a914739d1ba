import logging
import sys

import pytest

from vnet_jax.errors import InputError
from vnet_jax.runs.faults import tell_once, writing


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


@pytest.mark.parametrize(
    "told",
    [
        'RESOURCE_EXHAUSTED: Failed writing: "run/d/2ccc": Failed to write',
        'NOT_FOUND: Error opening "zarr" driver: Error writing "run/.zarray"',
    ],
)
def test_what_the_storage_layer_says_is_one_line(tmp_path, told):
    with pytest.raises(InputError, match="make room"), writing(tmp_path):
        raise ValueError(told)


def test_another_value_error_stays_what_it_is(tmp_path):
    with pytest.raises(ValueError, match="shape"), writing(tmp_path):
        raise ValueError("shape (3,) and writing do not go together")

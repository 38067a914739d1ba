"""pydicom and highdicom: extras, loaded when a DICOM is met, and kept silent."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType

from vnet_jax.errors import InputError

INSTALL = 'pip install "vnet-jax[dicom]"'
#: Their warnings and log lines quote values, which may be a patient's.
LOGGERS = ("pydicom", "highdicom")


def load(name: str, path=None) -> ModuleType:
    """The module `name` of pydicom or highdicom.

    Raises:
        InputError: it is not installed; the line says how to.
    """
    library = name.partition(".")[0]
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError:
        wrong = f"DICOM, for which {library} is not installed"
        raise InputError(path, wrong, INSTALL) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor log lines of the libraries inside."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

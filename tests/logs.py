"""Lets a test set up logs, reads what is written, and gives back how it was before."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from celery.signals import setup_logging

from schemas.settings import Settings
from tasks.logs import QUIET, set_up_logs


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO, settings: Settings, process: str = "gpu") -> Iterator[None]:
    """Log to a stream for the length of a block."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    try:
        set_up_logs(settings, process, stream=stream)
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name, quiet in levels.items():
            logging.getLogger(name).setLevel(quiet)
        logging.getLogger("celery.app.trace").filters.clear()
        logging.captureWarnings(capture=False)
        setup_logging.disconnect(dispatch_uid="afin.logs")

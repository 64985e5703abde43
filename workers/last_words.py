"""What Celery says past all logging while a worker is told to stop, as log lines like the rest."""

import logging
import os
import sys
from typing import Any

from schemas.settings import Settings
from tasks.logs import make_formatter


def log_last_words(settings: Settings, process: str) -> None:
    """Have Celery's signal handlers write JSON lines where they would print bare text.

    They must not log: the signal may have come in the midst of writing another line, and who writes
    holds a lock. So a line is made here and goes to stderr in one piece.
    """
    from celery.apps import worker

    formatter = make_formatter(settings, process, terminal=False)

    def say(message: str, _file: Any = None) -> None:
        text = message.strip().removeprefix("worker: ")
        record = logging.LogRecord("celery.worker", logging.INFO, "", 0, text, None, None)
        os.write(sys.stderr.fileno(), f"{formatter.format(record)}\n".encode())

    # Their only way out; Celery has no setting for it.
    worker.safe_say = say

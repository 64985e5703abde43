"""Counting for monitoring: whole tables now and then, and the seldomer the longer it takes."""

import time
from datetime import UTC, datetime, timedelta

from storage.figures import count_figures, keep_figures, read_figures
from tasks.app import FIGURES_S, task
from tasks.chords import waiting_for_database
from tasks.context import Context, context

SHARE = 50
"""Between two counts lies so many times what the last one took: 2 % of one processor."""


# Without events, like the sweeper.
@task("figures.count", send_events=False, ignore_result=True)
@waiting_for_database
def count() -> str:
    """Count what ``/metrics`` tells of whole tables, unless that was done just now."""
    return count_when_due(context())


def count_when_due(resources: Context) -> str:
    """Count, and keep what was found; say whether it was time for that."""
    with resources.database.read() as connection:
        last = read_figures(connection)
    now = datetime.now(UTC)
    if last is not None:
        # Half of it, as messages come a little sooner or later.
        wait_s = max(FIGURES_S / 2, SHARE * last.seconds)
        if timedelta() <= now - last.counted_at < timedelta(seconds=wait_s):
            return "not yet"
    began = time.monotonic()
    with resources.database.read() as connection:
        found = count_figures(connection)
    seconds = time.monotonic() - began
    with resources.database.write() as connection:
        keep_figures(connection, found, seconds=seconds)
    return f"seconds={seconds:.2f}"

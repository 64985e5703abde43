"""Waiting for work to end: bars with an estimate on a terminal, a line now and then without."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.output import note, notes
from schemas.runs import Progress as RunProgress

POLL_S = 0.5
LINE_EVERY_S = 5.0
"""How often a line is printed where no bar can be drawn."""


class _Count(ProgressColumn):
    """Steps done, of how many where that is known."""

    def render(self, task: Task) -> Text:
        """Say nothing as long as nothing is known."""
        done = int(task.completed)
        if task.total is None:
            return Text(str(done) if done else "")
        return Text(f"{done}/{int(task.total)}")


class Meter:
    """Shows how far something is, as a bar or as lines."""

    def __init__(self, label: str, bar: Progress | None) -> None:
        self._label = label
        self._bar = bar
        self._task = bar.add_task(label, total=None) if bar else None
        self._printed = time.monotonic()
        self._started = time.monotonic()
        self._done = 0
        self._line = ""

    def show(self, done: int, total: int | None, label: str | None = None) -> None:
        """Show ``done`` of ``total`` steps; the total may not be known yet."""
        if label is not None and label != self._label:
            # Another kind of step: what the last kind took says nothing about it.
            self._label = label
            self._started = time.monotonic()
            if self._bar is not None and self._task is not None:
                self._bar.remove_task(self._task)
                self._task = self._bar.add_task(label, total=None)
        self._done = done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._printed >= LINE_EVERY_S:
            self._print(f"{self._label}{self._count(total)}")

    def step(self) -> None:
        """Show one step more, of an unknown number."""
        self.show(self._done + 1, None)

    def _print(self, line: str) -> None:
        if line != self._line:
            note(line)
        self._line = line
        self._printed = time.monotonic()

    def _count(self, total: int | None) -> str:
        if not total:
            return f": {self._done}" if self._done else " ..."
        if not self._done:
            return f": 0 of {total}"
        left_s = (time.monotonic() - self._started) / self._done * (total - self._done)
        return f": {self._done} of {total}, about {left_s:.0f} s left"


@contextmanager
def metering(label: str) -> Iterator[Meter]:
    """Show progress on stderr while the block runs."""
    if not notes.is_terminal:
        yield Meter(label, None)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
    )
    with bar:
        yield Meter(label, bar)


def wait_for_run(read: Callable[[], RunProgress], label: str) -> RunProgress:
    """Show a run's progress until it has ended and return how it did."""
    with metering(label) as meter:
        while True:
            progress = read()
            name = label if progress.stage == "accounts" else f"{label}: {progress.stage}"
            meter.show(progress.done, progress.total or None, name)
            if progress.state.final:
                return progress
            time.sleep(POLL_S)

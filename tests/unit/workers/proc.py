"""Small things for tests with real processes: waiting for a fact, finding processes by a mark."""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

MARK = "AFIN_TEST_MARK"

# Bare of site and environment, so that a test's command is up in some 10 ms.
PYTHON = (sys.executable, "-I", "-S", "-c")

IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
UP_AND_WAIT = "print('up', flush=True); import time; time.sleep(120)"

Answer = TypeVar("Answer")


def until(fact: Callable[[], Answer], within_s: float = 20.0) -> Answer:
    """Ask until the answer is truthy and return it; fail the test when time is up."""
    deadline = time.monotonic() + within_s
    while not (answer := fact()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
    return answer


def marked(mark: str) -> set[int]:
    """The pids of all live processes that have the mark in their environment."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
    return found


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def lines(log: Path) -> list[str]:
    """What a log holds so far."""
    return log.read_text().splitlines() if log.exists() else []

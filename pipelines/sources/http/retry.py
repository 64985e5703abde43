"""How long to wait before another try: Retry-After, backoff with jitter, the total deadline."""

import asyncio
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

from pipelines.sources.http.failures import ThrottledError
from schemas.errors import FetchError

LONGEST_RETRY_AFTER_CHARS = 64

Stalled = tuple[float, Callable[[], None]]


def parse_retry_after(value: str | None, *, now: datetime, cap_s: float) -> float | None:
    """Read a Retry-After header as seconds from ``now``, never more than ``cap_s``.

    Both forms of RFC 9110 §10.2.3 (delay and HTTP date) are read, and fractions besides, which
    servers do send; a date in the past is 0. None where the header is absent or means nothing.
    """
    text = (value or "").strip()
    if not text or len(text) > LONGEST_RETRY_AFTER_CHARS or not text.isascii():
        return None
    if text.replace(".", "", 1).isdigit():
        return min(float(text), cap_s)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), cap_s)


def choose_delay(tries: int, error: FetchError, *, base_s: float, cap_s: float) -> float:
    """Seconds to wait after ``tries`` failed tries: exponential backoff with full jitter.

    The wait is drawn evenly from 0 to ``min(cap, base · 2^(tries-1))`` ("Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), on top of what the host itself asked for.
    """
    ceiling_s = min(cap_s, base_s * 2.0 ** min(tries - 1, 30))
    asked_s = error.retry_after_s if isinstance(error, ThrottledError) else None
    return (asked_s or 0.0) + random.uniform(0.0, ceiling_s)  # noqa: S311 (spreads load only)


class Clock:
    """Time left for one URL; it runs while something is done for it, not while it queues.

    Inside ``running`` an earlier end can be set and moved; ``cause`` is the reason slug of
    whichever end comes first. It does what ``asyncio.timeout`` does, with one timer however often
    the end is moved: one that rings too early is wound up again.
    """

    __slots__ = (
        "_cancelling",
        "_end",
        "_last_end",
        "_loop",
        "_rang",
        "_stalled",
        "_started",
        "_task",
        "_timer",
        "cause",
        "left_s",
    )

    def __init__(self, total_s: float) -> None:
        self.left_s = total_s
        self.cause = "timeout"
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        self._rang = False
        self._stalled: Stalled | None = None
        self._started = self._last_end = self._end = 0.0

    def running(self, first_s: float = math.inf, *, stalled: Stalled | None = None) -> "Clock":
        """Let the clock run, used as ``with clock.running():``; no longer than ``first_s`` yet.

        ``stalled`` is a time in seconds, and what is called if the clock still runs then.

        Raises:
            TimeoutError: no time was left, or the first end came.
        """
        self._stalled = stalled
        self._started = self._loop.time()
        self._last_end = self._started + max(self.left_s, 0.0)
        self._end = min(self._last_end, self._started + first_s)
        self.cause = "timeout"
        return self

    def __enter__(self) -> None:
        """Wind up the timer."""
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._rang = False
        first = self._end
        if self._stalled is not None:
            first = min(first, self._started + self._stalled[0])
        self._timer = self._loop.call_at(first, self._ring)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the timer, and say TimeoutError where it has rung."""
        if self._timer is not None:
            self._timer.cancel()
        self.left_s -= self._loop.time() - self._started
        task, self._task, self._timer = self._task, None, None
        if (
            self._rang
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def end_at(self, when: float, cause: str) -> None:
        """Set the end to ``when`` (loop time), but never later than the total allows."""
        self._end = min(when, self._last_end)
        self.cause = cause if when < self._last_end else "timeout"
        if self._timer is not None and self._end < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._end, self._ring)

    async def wait(self, delay_s: float) -> None:
        """Spend ``delay_s`` of the time left on doing nothing."""
        self.left_s -= delay_s
        await asyncio.sleep(delay_s)

    def _ring(self) -> None:
        if self._task is None:
            return
        if self._timer is not None and self._end > self._timer.when():
            if self._stalled is not None:
                stalled, self._stalled = self._stalled[1], None
                stalled()
            self._timer = self._loop.call_at(self._end, self._ring)
            return
        self._rang = True
        self._task.cancel()

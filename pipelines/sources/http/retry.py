"""How long to wait before another try: Retry-After, backoff with jitter, the total deadline."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.sources.http.failures import ThrottledError
from schemas.errors import FetchError

LONGEST_RETRY_AFTER_CHARS = 64


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
    whichever end comes first.
    """

    def __init__(self, total_s: float) -> None:
        self.left_s = total_s
        self.cause = "timeout"
        self._limit = asyncio.timeout(None)
        self._last_end = self._end = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the clock run.

        Raises:
            TimeoutError: no time was left, or the first end came.
        """
        started = asyncio.get_running_loop().time()
        self.cause = "timeout"
        self._last_end = self._end = started + max(self.left_s, 0.0)
        try:
            async with asyncio.timeout_at(self._end) as self._limit:
                yield
        finally:
            self.left_s -= asyncio.get_running_loop().time() - started

    def end_at(self, when: float, cause: str) -> None:
        """Set the end to ``when`` (loop time), but never later than the total allows."""
        end = min(when, self._last_end)
        if end != self._end:
            self._limit.reschedule(end)
            self._end = end
        self.cause = cause if when < self._last_end else "timeout"

    async def wait(self, delay_s: float) -> None:
        """Spend ``delay_s`` of the time left on doing nothing."""
        self.left_s -= delay_s
        await asyncio.sleep(delay_s)

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.http import ThrottledError
from pipelines.sources.http.retry import Clock, choose_delay, parse_retry_after
from schemas.errors import FetchError

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("99999999999999999999", 600.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW, cap_s=600.0) == seconds


@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ .*\Z"))
def test_any_retry_after_is_within_bounds_or_nothing(value: str) -> None:
    seconds = parse_retry_after(value, now=NOW, cap_s=600.0)
    assert seconds is None or 0.0 <= seconds <= 600.0


@given(st.integers(1, 100))
def test_backoff_stays_under_its_growing_ceiling(tries: int) -> None:
    delay_s = choose_delay(tries, FetchError("timeout", ""), base_s=0.5, cap_s=20.0)
    assert 0.0 <= delay_s <= min(20.0, 0.5 * 2 ** (tries - 1))


def test_backoff_differs_from_one_to_the_next() -> None:
    error = FetchError("timeout", "")
    assert len({choose_delay(5, error, base_s=0.5, cap_s=20.0) for _ in range(20)}) > 1


def test_a_host_that_says_when_is_not_asked_earlier() -> None:
    assert choose_delay(1, ThrottledError("", 7.0), base_s=0.5, cap_s=20.0) >= 7.0


def test_a_clock_runs_only_while_something_is_done() -> None:
    async def play() -> float:
        clock = Clock(0.05)
        await asyncio.sleep(0.1)
        with clock.running():
            pass
        return clock.left_s

    assert asyncio.run(play()) > 0.0


def test_a_clock_that_ran_out_lets_nothing_more_happen() -> None:
    async def play() -> None:
        clock = Clock(0.01)
        await clock.wait(0.01)
        with clock.running():
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(play())


def test_an_end_that_was_moved_later_lets_a_clock_run_on() -> None:
    async def play() -> list[str]:
        heard: list[str] = []
        clock = Clock(60.0)
        loop = asyncio.get_running_loop()
        with clock.running(0.01, stalled=(0.0, lambda: heard.append("stalled"))):
            clock.end_at(loop.time() + 30.0, "too-slow")
            # The first timer has rung long before this wakes up.
            await asyncio.sleep(0.05)
        with contextlib.suppress(TimeoutError), clock.running():
            clock.end_at(loop.time() + 0.01, "too-slow")
            await asyncio.Event().wait()
        return [*heard, clock.cause]

    assert asyncio.run(play()) == ["stalled", "too-slow"]


def test_somebody_elses_cancelling_is_no_timeout() -> None:
    async def play() -> None:
        with Clock(60.0).running():
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(play())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

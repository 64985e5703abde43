"""Beat's schedule on a clock that is moved."""

from datetime import UTC, datetime, timedelta

from tasks.clock import SteadySchedule

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EVERY_S = 3.0


def schedule_at(now: datetime) -> SteadySchedule:
    return SteadySchedule(EVERY_S, nowfun=lambda: now)


def test_it_is_due_once_its_time_has_passed() -> None:
    assert schedule_at(NOON).is_due(NOON - timedelta(seconds=EVERY_S)).is_due


def test_it_is_not_due_before() -> None:
    due, next_s = schedule_at(NOON).is_due(NOON - timedelta(seconds=1))
    assert not due
    assert next_s == EVERY_S - 1


def test_a_clock_moved_back_does_not_silence_it() -> None:
    assert schedule_at(NOON).is_due(NOON + timedelta(hours=1)).is_due

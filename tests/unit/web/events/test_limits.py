"""A sender's bucket empties, and fills again with time."""

from web.limits import RateLimit


def test_a_burst_is_let_through_and_then_paced() -> None:
    now = [0.0]
    limit = RateLimit(6, clock=lambda: now[0])
    assert [limit.wait_s("ana") for _ in range(7)] == [0.0] * 6 + [10]
    now[0] = 10.0
    assert [limit.wait_s("ana") for _ in range(2)] == [0.0, 10]


def test_one_sender_costs_another_nothing() -> None:
    limit = RateLimit(1, clock=lambda: 0.0)
    assert [limit.wait_s(name) for name in ("ana", "eva", "ana")] == [0.0, 0.0, 60]


def test_waiting_long_saves_up_no_more_than_a_burst() -> None:
    now = [0.0]
    limit = RateLimit(2, clock=lambda: now[0])
    limit.wait_s("ana")
    now[0] = 10_000.0
    assert [limit.wait_s("ana") for _ in range(3)] == [0.0, 0.0, 30]

import asyncio
import time

import pytest
from yarl import URL

from pipelines.sources.http import FetchPolicy, ThrottledError
from pipelines.sources.http.hosts import LONGEST_QUIET_S, HostGate, HostGates
from schemas.errors import FetchError


def test_a_throttled_host_gets_half_the_slots_and_regains_them_slowly() -> None:
    gate = HostGate("host", FetchPolicy(per_host=8))
    gate.record(ThrottledError("", None), time.monotonic())
    assert gate.slots == 4.0
    gate.record(None, time.monotonic())
    assert 4.0 < gate.slots <= 4.25
    for _ in range(1000):
        gate.record(None, time.monotonic())
    assert gate.slots == 8.0


def test_refusals_of_one_volley_cut_once() -> None:
    gate = HostGate("host", FetchPolicy(per_host=8))
    started = time.monotonic()
    for _ in range(8):
        gate.record(ThrottledError("", None), started)
    assert gate.slots == 4.0


@pytest.mark.parametrize("reason", ["timeout", "refused", "too-slow", "http-500", "broken-answer"])
def test_a_host_in_trouble_gets_fewer_slots(reason: str) -> None:
    gate = HostGate("host", FetchPolicy(per_host=8))
    gate.record(FetchError(reason, ""), time.monotonic())
    assert gate.slots == 4.0


@pytest.mark.parametrize("reason", ["http-404", "placeholder", "too-big"])
def test_a_dead_photo_is_not_the_trouble_of_its_host(reason: str) -> None:
    gate = HostGate("host", FetchPolicy(per_host=8))
    gate.record(FetchError(reason, ""), time.monotonic())
    assert gate.slots == 8.0


def test_at_least_one_slot_stays() -> None:
    gate = HostGate("host", FetchPolicy(per_host=8))
    for _ in range(20):
        gate.record(ThrottledError("", None), time.monotonic())
    assert gate.slots == 1.0


def test_a_host_that_asked_for_quiet_is_not_bothered() -> None:
    gate = HostGate("host", FetchPolicy())
    gate.record(ThrottledError("", 60.0), time.monotonic())
    with pytest.raises(ThrottledError) as caught:
        gate.check()
    assert caught.value.retry_after_s == pytest.approx(60.0, abs=1.0)


def test_who_is_refused_for_an_earlier_word_was_not_asked_unless_that_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = HostGate("host", FetchPolicy())

    def was_asked() -> bool:
        with pytest.raises(ThrottledError) as refused:
            gate.check()
        return refused.value.asked

    gate.record(ThrottledError("", 60.0), now)
    assert not was_asked()
    while now < 1000.0 + LONGEST_QUIET_S:
        assert not was_asked()
        now += 60.0
        gate.record(ThrottledError("", 60.0), now)
    now += 1.0
    assert was_asked()
    gate.record(None, now)
    gate.record(ThrottledError("", 60.0), now)
    assert not was_asked()


def test_a_host_that_is_down_is_left_alone() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=3))
    for _ in range(2):
        gate.record(FetchError("refused", ""), time.monotonic())
    gate.check()
    gate.record(FetchError("refused", ""), time.monotonic())
    with pytest.raises(FetchError, match="left alone"):
        gate.check()


def test_a_host_says_that_it_is_down_for_as_long_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gates = HostGates(FetchPolicy(dead_after=2, dead_for_s=30.0))
    assert gates.down("host:81") is None
    gate = gates.gate(URL("http://host:81/a.jpg"))
    for reason in ("timeout", "refused"):
        assert gates.down("host:81") is None
        gate.record(FetchError(reason, ""), now)
    assert gates.down("host:81") == "refused"
    assert gates.down("host") is None
    # Then one request has to find out, which others wait for in line.
    now += 30.0
    assert gates.down("host:81") is None


def make_dead(gate: HostGate) -> None:
    gate.record(FetchError("timeout", ""), time.monotonic())


def is_left_alone(gate: HostGate) -> bool:
    try:
        gate.check()
    except FetchError:
        return True
    return False


def test_one_request_finds_out_whether_a_host_is_back() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=1, dead_for_s=0.0))
    make_dead(gate)
    assert gate.check()
    assert is_left_alone(gate)
    gate.record(None, time.monotonic())
    assert not gate.check()


def test_a_request_that_was_cancelled_lets_another_find_out() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=1, dead_for_s=0.0))
    make_dead(gate)
    gate.check()
    gate.give_up()
    assert gate.check()


def test_a_host_that_stays_down_is_left_alone_for_longer_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gate = HostGate("host", FetchPolicy(dead_after=1, dead_for_s=30.0))
    for rest_s in (30.0, 60.0, 120.0):
        make_dead(gate)
        now += rest_s - 1
        assert is_left_alone(gate)
        now += 1
        assert gate.check()


def test_only_a_host_that_never_answered_is_given_up_at_its_first_silence() -> None:
    silent, alive = HostGate("silent", FetchPolicy()), HostGate("alive", FetchPolicy())
    alive.record(None, time.monotonic())
    for gate in (silent, alive):
        gate.bury("timeout")
    assert is_left_alone(silent)
    assert not is_left_alone(alive)


def test_one_answer_proves_a_host_alive() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=2))
    for failure in (FetchError("refused", ""), None, FetchError("refused", "")):
        gate.record(failure, time.monotonic())
    gate.check()


def test_nobody_follows_a_failed_connection_before_the_others_have_ended() -> None:
    async def play() -> list[bool]:
        gate = HostGate("host", FetchPolicy(per_host=2))
        await gate.acquire()
        await gate.acquire()
        waiting = asyncio.create_task(gate.acquire())
        began = []
        gate.record(FetchError("timeout", ""), time.monotonic())
        gate.release()
        await asyncio.sleep(0)
        began.append(waiting.done())
        gate.record(None, time.monotonic())
        await asyncio.sleep(0)
        began.append(waiting.done())
        return began

    assert asyncio.run(play()) == [False, True]


def test_a_slot_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    async def play() -> int:
        gate = HostGate("host", FetchPolicy(per_host=1))
        await gate.acquire()
        given_up, patient = asyncio.create_task(gate.acquire()), asyncio.create_task(gate.acquire())
        await asyncio.sleep(0)
        gate.release()
        given_up.cancel()
        await asyncio.gather(given_up, patient, return_exceptions=True)
        return gate.active

    assert asyncio.run(play()) == 1


def test_any_number_of_hosts_leaves_no_more_than_the_limit_behind() -> None:
    async def play() -> int:
        gates = HostGates(FetchPolicy(max_hosts=50))
        for number in range(10_000):
            async with gates.slot(URL.build(scheme="http", host=f"h{number}")):
                pass
        return len(gates.stats())

    assert asyncio.run(play()) == 50


def test_a_host_in_use_is_not_forgotten() -> None:
    async def play() -> list[str]:
        gates = HostGates(FetchPolicy(max_hosts=1))
        async with gates.slot(URL("http://busy/")):
            for number in range(10):
                async with gates.slot(URL(f"http://h{number}/")):
                    pass
            return list(gates.stats())

    assert "busy" in asyncio.run(play())


def test_a_request_that_has_stalled_makes_room_for_another_hosts() -> None:
    async def play() -> list[str]:
        gates = HostGates(FetchPolicy(concurrency=1))
        first, second = gates.slot(URL("http://silent/")), gates.slot(URL("http://alive/"))
        came: list[str] = []

        async def ask() -> None:
            async with second as gate:
                came.append(gate.host)

        async with first:
            asking = asyncio.create_task(ask())
            await asyncio.sleep(0)
            assert not came
            first.stall()
            await asking
        # Given back once: still no more than one at a time.
        async with gates.slot(URL("http://third/")):
            other = asyncio.create_task(ask())
            await asyncio.sleep(0)
            assert came == ["alive"]
        await other
        return came

    assert asyncio.run(play()) == ["alive", "alive"]


def test_http_and_https_of_a_host_share_its_slots() -> None:
    async def play() -> list[str]:
        gates = HostGates(FetchPolicy())
        for url in ("http://host/", "https://host/", "http://host:8080/"):
            async with gates.slot(URL(url)):
                pass
        return list(gates.stats())

    assert asyncio.run(play()) == ["host", "host:8080"]

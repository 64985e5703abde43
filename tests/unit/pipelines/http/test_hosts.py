import asyncio
import time

import pytest
from yarl import URL

from pipelines.sources.http import FetchPolicy, ThrottledError
from pipelines.sources.http.hosts import HostGate, HostGates
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


def test_a_host_that_is_down_is_left_alone() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=3))
    for _ in range(2):
        gate.record(FetchError("refused", ""), time.monotonic())
    gate.check()
    gate.record(FetchError("refused", ""), time.monotonic())
    with pytest.raises(FetchError, match="left alone"):
        gate.check()


def test_one_answer_proves_a_host_alive() -> None:
    gate = HostGate("host", FetchPolicy(dead_after=2))
    for failure in (FetchError("refused", ""), None, FetchError("refused", "")):
        gate.record(failure, time.monotonic())
    gate.check()


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


def test_http_and_https_of_a_host_share_its_slots() -> None:
    async def play() -> list[str]:
        gates = HostGates(FetchPolicy())
        for url in ("http://host/", "https://host/", "http://host:8080/"):
            async with gates.slot(URL(url)):
                pass
        return list(gates.stats())

    assert asyncio.run(play()) == ["host", "host:8080"]

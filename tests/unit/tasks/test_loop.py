import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from tasks.loop import BackgroundLoop


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return number * 2


async def wait_for_ever(ended: threading.Event | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.set()


async def fail() -> None:
    raise ValueError("as asked")


def test_a_coroutine_gives_its_result_to_another_thread() -> None:
    with BackgroundLoop() as loop:
        assert loop.run(double(21), timeout_s=5) == 42


def test_an_error_reaches_the_caller() -> None:
    with BackgroundLoop() as loop, pytest.raises(ValueError, match="as asked"):
        loop.run(fail(), timeout_s=5)


def test_many_threads_share_one_loop() -> None:
    async def which() -> int:
        return id(asyncio.get_running_loop())

    with BackgroundLoop() as loop, ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: loop.run(which(), timeout_s=5), range(50)))) == 1


def test_waiting_threads_do_not_wait_for_each_other() -> None:
    async def meet(barrier: asyncio.Barrier) -> None:
        await barrier.wait()

    with BackgroundLoop() as loop, ThreadPoolExecutor(4) as threads:
        barrier = asyncio.Barrier(4)
        list(threads.map(lambda _: loop.run(meet(barrier), timeout_s=5), range(4)))


def test_what_takes_too_long_is_cancelled_before_its_caller_goes_on() -> None:
    ended = threading.Event()
    with BackgroundLoop() as loop:
        with pytest.raises(TimeoutError):
            loop.run(wait_for_ever(ended), timeout_s=0.05)
        assert ended.is_set()


def test_the_loop_goes_on_after_a_timeout() -> None:
    with BackgroundLoop() as loop:
        with pytest.raises(TimeoutError):
            loop.run(wait_for_ever(), timeout_s=0.05)
        assert loop.run(double(1), timeout_s=5) == 2


def test_closing_cancels_what_still_runs() -> None:
    ended = threading.Event()
    started = threading.Event()

    async def begin() -> None:
        started.set()
        await wait_for_ever(ended)

    loop = BackgroundLoop()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(loop.run, begin())
        started.wait(5)
        loop.close()
        with pytest.raises(CancelledError):
            running.result(5)
    assert ended.is_set()


def test_closing_twice_is_closing_once() -> None:
    loop = BackgroundLoop()
    loop.close()
    loop.close()


def test_a_closed_loop_refuses_work() -> None:
    loop = BackgroundLoop()
    loop.close()
    with pytest.raises(RuntimeError):
        loop.run(double(1))


def test_the_loop_does_not_wait_for_itself() -> None:
    with BackgroundLoop() as loop:

        async def nested() -> int:
            return loop.run(double(1))

        with pytest.raises(RuntimeError):
            loop.run(nested(), timeout_s=5)

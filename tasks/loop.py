"""One asyncio loop in a thread of its own, so that all task threads share its connections."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

# How long a cancelled coroutine may take to clean up before its caller goes on without it.
CLEANUP_S = 5.0


class BackgroundLoop:
    """A running asyncio loop that any thread but its own hands coroutines to.

    Example:
        >>> async def add(a: int, b: int) -> int:
        ...     return a + b
        >>> with BackgroundLoop() as loop:
        ...     loop.run(add(1, 2), timeout_s=1)
        3
    """

    def __init__(self, name: str = "afin-loop") -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._turn, name=name, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop and wait for its result.

        When the time is up, or the waiting thread is interrupted, the coroutine is cancelled.

        Raises:
            TimeoutError: it did not end within ``timeout_s`` seconds.
            CancelledError: the loop was closed meanwhile.
            RuntimeError: the loop is closed, or this is its own thread.
        """
        with self._closing:
            if self._closed or threading.current_thread() is self._thread:
                coroutine.close()
                raise RuntimeError("The loop is closed, or it would wait for itself.")
            future = asyncio.run_coroutine_threadsafe(_limit(coroutine, timeout_s), self._loop)
        try:
            # The limit inside the loop lets the coroutine clean up first; this one only catches
            # a coroutine that will not be cancelled.
            return future.result(None if timeout_s is None else timeout_s + CLEANUP_S)
        except CancelledError:
            raise
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what still runs, and end the thread; a second call does nothing."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> Self:
        """The loop runs from the start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the loop."""
        self.close()

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._wind_up())
            self._loop.close()

    async def _wind_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLEANUP_S)
        await self._loop.shutdown_asyncgens()


async def _limit(coroutine: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    async with asyncio.timeout(timeout_s):
        return await coroutine

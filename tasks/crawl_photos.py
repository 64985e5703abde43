"""Photos of a crawl: fetched side by side, judged, settled in batches while others fly on."""

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pipelines.sources.http import Fetcher, ThrottledError, redact
from schemas.errors import FetchError, PhotoError
from schemas.runs import Run
from storage.crawl_urls import WantedUrl, touch_shard
from storage.runs import is_current, read_run
from tasks.app import app
from tasks.context import Context, context
from tasks.crawl_judge import Judges
from tasks.crawl_settle import Catch, settle
from tasks.fetching import fetching

log = logging.getLogger(__name__)

BATCH = 500
BATCH_S = 0.2
"""Ends of fetches are stored together: so many, or as many as come in this time."""

ENOUGH = 0.5
HELD_UP_S = 2.0
"""A shard's message ends once this share is settled, or after so long.

The others go on without holding it up: a fifth may lie on hosts that say nothing for a while. What
flies at once stays bounded by the crawl's window.
"""

BEAT_S = 5.0
SETTLE_TRIES = 4
SETTLE_WAIT_S = 0.5
"""A database that is restarted, or that broke a deadlock, is asked again before photos are lost."""

UNDECODED_BYTES = 256 * 2**20
"""While so much waits to be looked at, no further request begins."""


@dataclass(eq=False)
class _Shard:
    """The fetches of one message: how many have not ended, and what their ends let go on."""

    run: Run
    number: int
    left: int
    slow: int
    stored: int = 0
    error: Exception | None = None
    let_go: bool = False
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, *, stored: bool, error: Exception | None) -> None:
        """Count one fetch that has ended for good."""
        self.left -= 1
        self.stored += stored
        self.error = self.error or error
        if self.left <= self.slow:
            self.enough.set()
        if not self.left:
            self.ended.set()


@dataclass(eq=False)
class _Flight:
    """One fetch; it ends once, when what it brought is stored, or when it is given up."""

    shard: _Shard
    wanted: WantedUrl
    ended: bool = False

    def end(self, *, stored: bool = False, error: Exception | None = None) -> None:
        """Tell the shard, unless it knows."""
        if not self.ended:
            self.ended = True
            self.shard.count(stored=stored, error=error)


@dataclass(eq=False)
class Crawler:
    """Fetches addresses on the shared loop and stores how each ended; one a process."""

    resources: Context
    fetcher: Fetcher
    judges: Judges
    arrived: asyncio.Queue[tuple[_Flight, Catch]] = field(default_factory=asyncio.Queue)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    undecoded: int = 0
    keepers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "afin-keep"))

    async def fetch(self, run: Run, number: int, wanted: Sequence[WantedUrl]) -> tuple[int, int]:
        """Fetch a shard until most of it is settled; return how many are, and how many stored.

        Raises:
            AfinError: photos could not be kept or settled; those are fetched again later.
        """
        if not self.tasks:
            self._start(self._write())
        slow = len(wanted) - math.ceil(len(wanted) * ENOUGH)
        shard = _Shard(run, number, left=len(wanted), slow=slow)
        shard.tasks = [self._start(self._fly(_Flight(shard, one))) for one in wanted]
        self._start(self._watch(shard))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shard.enough.wait(), HELD_UP_S)
        shard.let_go = True
        if shard.error is not None:
            raise shard.error
        return len(wanted) - shard.left, shard.stored

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _fly(self, flight: _Flight) -> None:
        try:
            caught = await self._catch(flight.wanted)
        except Exception as error:  # noqa: BLE001 - told to the shard that waits for it
            flight.end(error=error)
        except asyncio.CancelledError:
            flight.end()
            raise
        else:
            self.arrived.put_nowait((flight, caught))

    async def _catch(self, wanted: WantedUrl) -> Catch:
        shown = _show(wanted.url)
        try:
            answer = await self.fetcher.fetch(wanted.url)
        except FetchError as error:
            rest_s = error.retry_after_s if isinstance(error, ThrottledError) else None
            return Catch(wanted.id, reason=error.reason, rest_s=rest_s, shown=shown)
        except Exception as error:  # noqa: BLE001 - told below
            # Whatever a stranger's server brings about hurts its own address only; the error's
            # words may hold the address, so they are not told.
            log.error("%s broke its fetch: %s", redact(wanted.url), type(error).__name__)  # noqa: TRY400
            return Catch(wanted.id, reason="unexpected", shown=shown)
        size = len(answer.body)
        self._weigh(size)
        try:
            row = await self.judges.judge(answer.body, wanted.credit)
        except PhotoError as error:
            return Catch(wanted.id, reason=error.reason, size_bytes=size, shown=shown)
        finally:
            self._weigh(-size)
        return Catch(wanted.id, row=row, size_bytes=size, shown=shown)

    def _weigh(self, size: int) -> None:
        self.undecoded += size
        if self.undecoded < UNDECODED_BYTES:
            self.fetcher.go_on()
        else:
            self.fetcher.hold()

    async def _write(self) -> None:
        """Store ends as they come, a batch a transaction, for as long as the loop turns."""
        while True:
            batch = [await self.arrived.get()]
            if self.arrived.qsize() < BATCH - 1:
                await asyncio.sleep(BATCH_S)
            while len(batch) < BATCH and not self.arrived.empty():
                batch.append(self.arrived.get_nowait())
            for run_id in {flight.shard.run.id for flight, _ in batch}:
                part = [(one, caught) for one, caught in batch if one.shard.run.id == run_id]
                await self._settle(run_id, part)

    async def _settle(self, run_id: int, batch: Sequence[tuple[_Flight, Catch]]) -> None:
        caught = [one for _, one in batch]
        loop = asyncio.get_running_loop()
        for tries in range(1, SETTLE_TRIES + 1):
            try:
                stored = await loop.run_in_executor(
                    self.keepers, settle, self.resources, run_id, caught
                )
            except Exception as error:  # noqa: BLE001 - told to every shard that waits for it
                if tries == SETTLE_TRIES:
                    for flight, _ in batch:
                        flight.end(error=error)
                    return
                log.warning("crawl %s: storing again after %s", run_id, type(error).__name__)
                await asyncio.sleep(SETTLE_WAIT_S * tries)
            else:
                break
        for flight, one in batch:
            flight.end(stored=one.url_id in stored)
        # The crawl may have waited for just these, and their message has ended long ago.
        if any(not flight.shard.left and flight.shard.let_go for flight, _ in batch):
            await loop.run_in_executor(self.keepers, wake_feeder, run_id)

    async def _watch(self, shard: _Shard) -> None:
        """Keep the sweeper off a shard while it flies, and end it when its run was cancelled."""
        while shard.left:
            try:
                await asyncio.wait_for(shard.ended.wait(), BEAT_S)
            except TimeoutError:
                if not await self._beat(shard):
                    for task in shard.tasks:
                        task.cancel()
                    return

    async def _beat(self, shard: _Shard) -> bool:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self.keepers, _beat, self.resources, shard.run, shard.number
            )
        except Exception as error:  # noqa: BLE001 - the next beat may do better
            log.warning("crawl %s: no beat: %s", shard.run.id, type(error).__name__)
            return True


def crawl_shard(run: Run, shard: int, wanted: Sequence[WantedUrl]) -> tuple[int, int]:
    """Fetch a shard of a crawl from a task's thread; return how many are settled and stored."""
    loop, fetcher = fetching()
    return loop.run(_crawler(fetcher).fetch(run, shard, wanted))


_opening = threading.Lock()


def _crawler(fetcher: Fetcher) -> Crawler:
    with _opening:
        return _open(fetcher)


@lru_cache(1)
def _open(fetcher: Fetcher) -> Crawler:
    return Crawler(context(), fetcher, Judges(context()))


def wake_feeder(run_id: int) -> None:
    """Let a crawl send out more, or end; the sweeper does the same a little later."""
    try:
        app.send_task("runs.feed", (run_id,))
    except Exception as error:  # noqa: BLE001 - a broker that is away costs no more than that
        log.warning("crawl %s: nobody was told: %s", run_id, type(error).__name__)


def _beat(resources: Context, run: Run, shard: int) -> bool:
    """Say that a shard flies; return whether it still should."""
    with resources.database.write() as connection:
        touch_shard(connection, shard)
        return is_current(read_run(connection, run.id), run.generation)


def _show(url: str) -> str | None:
    """What may be shown of an address that may hold a name, a password or a token."""
    return redact(url) if "@" in url or "?" in url else None

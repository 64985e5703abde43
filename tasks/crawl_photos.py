"""Photos of a crawl: fetched side by side by a process of their own, settled here in batches."""

import asyncio
import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Collection, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from schemas.errors import CatchError
from schemas.runs import Run
from storage.crawl_urls import WantedUrl, touch_shard
from storage.photos import PhotoRow
from storage.runs import is_current, read_run
from tasks.app import app
from tasks.context import Context, context
from tasks.crawl_catching import Catching, make_job
from tasks.crawl_dealing import Dealer, Flight
from tasks.crawl_settle import Catch, settle
from tasks.crawl_wire import End, Order
from tasks.fetching import fetching
from tasks.loop import BackgroundLoop

log = logging.getLogger(__name__)

BATCH = 500
"""Ends of fetches are stored together: those that are there, until they are so many."""

ENOUGH = 0.5
HELD_UP_S = 2.0
"""A shard's message ends once this share is settled, or after so long.

The others go on without holding it up: a fifth may lie on hosts that say nothing for a while. What
flies at once stays bounded by the crawl's window.
"""

BEAT_S = 5.0
SILENT_S = 60.0
"""A fetching process that has told nothing for so long is ended, and another takes its place."""

LATE_S = 5.0

SETTLE_TRIES = 4
SETTLE_WAIT_S = 0.5
"""A database that is restarted, or that broke a deadlock, is asked again before photos are lost."""


@dataclass(eq=False)
class _Shard:
    """The fetches of one message: which have not ended, and what their ends let go on."""

    run: Run
    number: int
    flying: dict[int, Flight]
    slow: int
    stored: int = 0
    error: Exception | None = None
    let_go: bool = False
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(
        self,
        url_ids: Iterable[int],
        *,
        stored: Collection[int] = (),
        error: Exception | None = None,
    ) -> None:
        """Count fetches that have ended for good."""
        for url_id in url_ids:
            self.stored += self.flying.pop(url_id, None) is not None and url_id in stored
        self.error = self.error or error
        if len(self.flying) <= self.slow:
            self.enough.set()
        if not self.flying:
            self.ended.set()


@dataclass(eq=False)
class Crawler:
    """Has addresses fetched, and stores how each ended; one a process, on its shared loop."""

    resources: Context
    dealer: Dealer
    catching: dict[int, Catching] = field(default_factory=dict)
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    arrived: asyncio.Queue[list[tuple[_Shard, End]]] = field(default_factory=asyncio.Queue)
    shards: dict[int, _Shard] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    keepers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "afin-keep"))

    async def fetch(self, run: Run, number: int, wanted: Sequence[WantedUrl]) -> tuple[int, int]:
        """Fetch a shard until most of it is settled; return how many are, and how many stored.

        Raises:
            AfinError: photos could not be kept or settled; those are fetched again later.
        """
        flights = self.dealer.deal(wanted)
        places = {flight.place for flight in flights.values()}
        while missing := places - self.catching.keys():
            await self._open(missing.pop())
        slow = len(wanted) - math.ceil(len(wanted) * ENOUGH)
        shard = _Shard(run, number, flights, slow)
        # Not the shard's own number: a message that came twice makes two of it.
        key = next(self.numbers)
        self.shards[key] = shard
        for place in places:
            part = [(url_id, at.wanted.url) for url_id, at in flights.items() if at.place == place]
            self.catching[place].send(Order(key, part))
        self._start(self._watch(key, shard))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shard.enough.wait(), HELD_UP_S)
        shard.let_go = True
        if shard.error is not None:
            raise shard.error
        return len(wanted) - len(shard.flying), shard.stored

    async def _open(self, place: int) -> None:
        async with self.opening:
            if not self.tasks:
                self._start(self._write())
            if place not in self.catching:
                self.catching[place] = await Catching.open(make_job(self.resources.settings))
                self._start(self._hear(place))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _hear(self, place: int) -> None:
        """Take in how fetches ended for as long as the process lives that fetches."""
        catching = self.catching[place]
        try:
            await self._take_in(catching)
        except Exception:
            log.exception("what a process that fetches tells cannot be understood")
        finally:
            code = catching.close()
            del self.catching[place]
        lost = CatchError(f"The process that fetches has ended ({code}); its photos come again.")
        log.error("%s", lost)
        for shard in self.shards.values():
            gone = [url_id for url_id, at in shard.flying.items() if at.place == place]
            if gone:
                shard.end(gone, error=lost)

    async def _take_in(self, catching: Catching) -> None:
        while (told := await catching.hear()) is not None:
            for name, level, text in told.logged:
                logging.getLogger(name).log(level, "%s", text)
            arrived = []
            for end in told.ends:
                shard = self.shards.get(end.shard)
                if shard is None:
                    continue  # its run was cancelled
                if end.error is None:
                    arrived.append((shard, end))
                else:
                    shard.end([end.url_id], error=CatchError(end.error))
            if arrived:
                self.arrived.put_nowait(arrived)

    async def _write(self) -> None:
        """Store ends as they come, a batch a transaction, for as long as the loop turns."""
        while True:
            batch = await self.arrived.get()
            while len(batch) < BATCH and not self.arrived.empty():
                batch += self.arrived.get_nowait()
            for run_id in {shard.run.id for shard, _ in batch}:
                part = [(shard, end) for shard, end in batch if shard.run.id == run_id]
                await self._settle(run_id, part)

    async def _settle(self, run_id: int, batch: Sequence[tuple[_Shard, End]]) -> None:
        # One that was dropped meanwhile is not known any more, nor wanted.
        caught = [
            _catch(shard.flying[end.url_id].wanted, end)
            for shard, end in batch
            if end.url_id in shard.flying
        ]
        loop = asyncio.get_running_loop()
        stored: set[int] = set()
        problem: Exception | None = None
        for tries in range(1, SETTLE_TRIES + 1):
            try:
                stored = await loop.run_in_executor(
                    self.keepers, settle, self.resources, run_id, caught
                )
            except Exception as error:  # noqa: BLE001 - told to every shard that waits for it
                if tries == SETTLE_TRIES:
                    problem = error
                    break
                log.warning("crawl %s: storing again after %s", run_id, type(error).__name__)
                await asyncio.sleep(SETTLE_WAIT_S * tries)
            else:
                break
        ended: dict[_Shard, list[int]] = {}
        for shard, end in batch:
            ended.setdefault(shard, []).append(end.url_id)
        for shard, url_ids in ended.items():
            shard.end(url_ids, stored=stored, error=problem)
        # The crawl may have waited for just these, and their message has ended long ago.
        if any(not shard.flying and shard.let_go for shard in ended):
            await loop.run_in_executor(self.keepers, wake_feeder, run_id)

    async def _watch(self, key: int, shard: _Shard) -> None:
        """Keep the sweeper off a shard while it flies, and end it when its run was cancelled."""
        while shard.flying:
            began = time.monotonic()
            try:
                await asyncio.wait_for(shard.ended.wait(), BEAT_S)
            except TimeoutError:
                # Not if this process itself was stopped meanwhile, and perhaps both were.
                awake = time.monotonic() - began < BEAT_S + LATE_S
                for catching in list(self.catching.values()):
                    if awake and catching.silent_s > SILENT_S:
                        # Stopped, or stuck in a file: no other end would ever come of it.
                        catching.kill()
                if not await self._beat(shard):
                    for catching in self.catching.values():
                        catching.send(Order(key, []))
                    shard.end(list(shard.flying))
        del self.shards[key]

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
    loop, _fetcher = fetching()
    return loop.run(crawler().fetch(run, shard, wanted))


_opening = threading.Lock()


def crawler() -> Crawler:
    """The one crawler of this process, on the loop that all of it shares."""
    loop, _fetcher = fetching()
    with _opening:
        return _open(loop)


@lru_cache(1)
def _open(_loop: BackgroundLoop) -> Crawler:
    resources = context()
    return Crawler(resources, Dealer(resources.settings.fetch_processes))


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


def _catch(wanted: WantedUrl, end: End) -> Catch:
    row = None
    if end.photo is not None:
        row = PhotoRow(size_bytes=end.size_bytes or 0, credit=wanted.credit, **end.photo._asdict())
    return Catch(
        wanted.id,
        row=row,
        reason=end.reason,
        rest_s=end.rest_s,
        asked=end.asked,
        size_bytes=end.size_bytes,
        shown=end.shown,
    )

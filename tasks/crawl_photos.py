"""Photos of a crawl: fetched side by side, judged, settled in batches while others fly on."""

import asyncio
import math
import threading
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pipelines.sources.http import Fetcher, ThrottledError
from pipelines.vision.decode import inspect_photo, read_header
from schemas.errors import FetchError, PhotoError
from schemas.runs import Run
from storage.crawl_urls import WantedUrl, touch_shard
from storage.photos import PhotoRow
from storage.runs import is_current, read_run
from tasks.context import Context, context
from tasks.crawl_settle import Catch, settle
from tasks.fetching import fetching
from tasks.ingest import keep_photo, photo_limits

BATCH = 200
BATCH_S = 0.2
"""Ends of fetches are stored together: so many, or as many as come in this time."""

ENOUGH = 0.9
"""A shard's message ends once this share is settled; the slow ones go on without holding it up."""

BEAT_S = 5.0
UNDECODED_BYTES = 256 * 2**20
"""While so much waits to be looked at, no further fetch begins."""


@dataclass(eq=False)
class _Flight:
    """One fetch, and the moment at which its end is stored."""

    run: Run
    wanted: WantedUrl
    settled: asyncio.Future[bool]


@dataclass(eq=False)
class Crawler:
    """Fetches addresses on the shared loop and stores how each ended; one a process."""

    resources: Context
    fetcher: Fetcher
    ended: asyncio.Queue[tuple[_Flight, Catch]] = field(default_factory=asyncio.Queue)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    undecoded: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, run: Run, shard: int, wanted: Sequence[WantedUrl]) -> tuple[int, int]:
        """Fetch a shard until most of it is settled; return how many are, and how many stored."""
        if not self.tasks:
            self._begin()
        loop = asyncio.get_running_loop()
        flights = [_Flight(run, one, loop.create_future()) for one in wanted]
        flying = [self._start(self._fly(flight)) for flight in flights]
        self._start(self._watch(run, shard, flights, flying))
        most = math.ceil(len(flights) * ENOUGH)
        left = {flight.settled for flight in flights}
        while len(flights) - len(left) < most:
            _done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        ends = [one.settled for one in flights if one.settled.done()]
        return len(ends), sum(not end.cancelled() and end.result() for end in ends)

    def _begin(self) -> None:
        self.room.set()
        self._start(self._write())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _fly(self, flight: _Flight) -> None:
        try:
            caught = await self._catch(flight.wanted)
        except Exception as error:  # noqa: BLE001 - told to the shard that waits for it
            _resolve(flight.settled, error=error)
        else:
            self.ended.put_nowait((flight, caught))

    async def _catch(self, wanted: WantedUrl) -> Catch:
        await self.room.wait()
        try:
            answer = await self.fetcher.fetch(wanted.url)
        except FetchError as error:
            throttled = isinstance(error, ThrottledError) and error.retry_after_s is not None
            return Catch(wanted.id, reason=error.reason, throttled=throttled)
        size = len(answer.body)
        self._weigh(size)
        try:
            # Decoding and writing would hold up every other fetch on this loop.
            row = await asyncio.to_thread(_judge, self.resources, answer.body, wanted.credit)
        except PhotoError as error:
            return Catch(wanted.id, reason=error.reason, size_bytes=size)
        finally:
            self._weigh(-size)
        return Catch(wanted.id, row=row, size_bytes=size)

    def _weigh(self, size: int) -> None:
        self.undecoded += size
        if self.undecoded < UNDECODED_BYTES:
            self.room.set()
        else:
            self.room.clear()

    async def _write(self) -> None:
        """Store ends as they come, a batch a transaction, for as long as the loop turns."""
        while True:
            batch = [await self.ended.get()]
            await asyncio.sleep(BATCH_S)
            while len(batch) < BATCH and not self.ended.empty():
                batch.append(self.ended.get_nowait())
            for run_id in {flight.run.id for flight, _ in batch}:
                part = [(flight, caught) for flight, caught in batch if flight.run.id == run_id]
                await self._settle(run_id, part)

    async def _settle(self, run_id: int, batch: Sequence[tuple[_Flight, Catch]]) -> None:
        caught = [one for _, one in batch]
        try:
            stored = await asyncio.to_thread(settle, self.resources, run_id, caught)
        except Exception as error:  # noqa: BLE001 - told to every shard that waits for it
            for flight, _ in batch:
                _resolve(flight.settled, error=error)
            return
        for flight, one in batch:
            _resolve(flight.settled, stored=one.url_id in stored)

    async def _watch(
        self,
        run: Run,
        shard: int,
        flights: Iterable[_Flight],
        flying: Iterable["asyncio.Task[None]"],
    ) -> None:
        """Keep the sweeper off a shard while it flies, and end it when its run was cancelled."""
        left = {flight.settled for flight in flights}
        while left:
            done, left = await asyncio.wait(left, timeout=BEAT_S)
            for end in done:
                # Looked at, so that nobody warns of an error that nobody waited for.
                _ = end.cancelled() or end.exception()
            if left and not await asyncio.to_thread(_beat, self.resources, run, shard):
                for task in flying:
                    task.cancel()
                for end in left:
                    end.cancel()
                return


def crawl_shard(run: Run, shard: int, wanted: Sequence[WantedUrl]) -> tuple[int, int]:
    """Fetch a shard of a crawl from a task's thread; return how many are settled and stored."""
    loop, fetcher = fetching()
    return loop.run(_crawler(fetcher).fetch(run, shard, wanted))


_opening = threading.Lock()


def _crawler(fetcher: Fetcher) -> Crawler:
    with _opening:
        return _open(fetcher)


@cache
def _open(fetcher: Fetcher) -> Crawler:
    return Crawler(context(), fetcher)


def _judge(resources: Context, body: bytes, credit: str) -> PhotoRow:
    """Look at a photo as the settings ask, and keep its bytes."""
    settings = resources.settings
    look = inspect_photo if settings.fetch_check == "decode" else read_header
    info = look(body, photo_limits(settings))
    return keep_photo(resources, body, info).model_copy(update={"credit": credit})


def _beat(resources: Context, run: Run, shard: int) -> bool:
    """Say that a shard flies; return whether it still should."""
    with resources.database.write() as connection:
        touch_shard(connection, shard)
        return is_current(read_run(connection, run.id), run.generation)


def _resolve(
    settled: "asyncio.Future[bool]", *, stored: bool = False, error: Exception | None = None
) -> None:
    if settled.done():
        return
    if error is None:
        settled.set_result(stored)
    else:
        settled.set_exception(error)

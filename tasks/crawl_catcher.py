"""The process that fetches for a scrape worker: addresses come in, how each ended goes out.

``python -m tasks.crawl_catcher FD`` with one end of a socket. It knows no database and no broker,
and ends when the worker's end of the socket closes, however the worker ended.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.sources.http import Fetcher, ThrottledError, redact
from schemas.errors import FetchError, PhotoError
from storage.blobs import BlobStore
from tasks.crawl_judge import Judges
from tasks.crawl_wire import End, Job, Order, Told, pack, read_order, receive
from tasks.garbage import spare_collector

log = logging.getLogger(__name__)

BATCH = 500
BATCH_S = 0.2
"""Ends of fetches are told together: so many, or as many as come in this time."""

BEAT_S = 5.0

UNDECODED_BYTES = 128 * 2**20
"""While so much waits in one process to be looked at, no further request of it begins."""


class Catcher:
    """Fetches addresses side by side; what it learns goes to ``tell``, a batch at a time."""

    def __init__(self, fetcher: Fetcher, judges: Judges, tell: Callable[[Told], None]) -> None:
        self._fetcher = fetcher
        self._judges = judges
        self._tell = tell
        self._told = Told([], [])
        self._telling: asyncio.TimerHandle | None = None
        self._shards: dict[int, set[asyncio.Task[None]]] = {}
        self._undecoded = 0

    def obey(self, order: Order) -> None:
        """Begin to fetch a shard, or drop what has not ended of it."""
        if not order.wanted:
            for task in self._shards.get(order.shard, ()):
                task.cancel()
            return
        flies = self._shards.setdefault(order.shard, set())
        land = partial(self._land, order.shard)
        for url_id, url in order.wanted:
            reason = self._fetcher.down(url)
            if reason is not None:
                # Thousands may lie on a host that is gone: no task for each.
                self._told.ends.append(End(order.shard, url_id, reason=reason, shown=_show(url)))
                continue
            task = asyncio.create_task(self._fly(order.shard, url_id, url))
            flies.add(task)
            task.add_done_callback(land)
        if not flies:
            del self._shards[order.shard]
        self._tell_soon()

    def note(self, name: str, level: int, text: str) -> None:
        """Let the worker log a message."""
        self._told.logged.append((name, level, text))
        self._tell_soon()

    async def beat(self) -> None:
        """Say every few seconds that this process is still at work."""
        while True:
            self._tell_soon()
            await asyncio.sleep(BEAT_S)

    def _land(self, shard: int, task: "asyncio.Task[None]") -> None:
        flies = self._shards[shard]
        flies.discard(task)
        if not flies:
            del self._shards[shard]

    async def _fly(self, shard: int, url_id: int, url: str) -> None:
        try:
            end = await self._catch(shard, url_id, url)
        except Exception as error:  # noqa: BLE001 - the worker tells whoever waits for the shard
            end = End(shard, url_id, error=str(error) or type(error).__name__)
        self._told.ends.append(end)
        self._tell_soon()

    async def _catch(self, shard: int, url_id: int, url: str) -> End:
        shown = _show(url)
        try:
            answer = await self._fetcher.fetch(url)
        except FetchError as error:
            end = End(shard, url_id, reason=error.reason, shown=shown)
            if isinstance(error, ThrottledError):
                end = end._replace(rest_s=error.retry_after_s, asked=error.asked)
            return end
        except Exception as error:  # noqa: BLE001 - told below
            # Whatever a stranger's server brings about hurts its own address only; the error's
            # words may hold the address, so they are not told.
            log.error("%s broke its fetch: %s", redact(url), type(error).__name__)  # noqa: TRY400
            return End(shard, url_id, reason="unexpected", shown=shown)
        size = len(answer.body)
        self._weigh(size)
        try:
            kept = await self._judges.judge(answer.body)
        except PhotoError as error:
            return End(shard, url_id, reason=error.reason, size_bytes=size, shown=shown)
        finally:
            self._weigh(-size)
        return End(shard, url_id, kept, size_bytes=size, shown=shown)

    def _weigh(self, size: int) -> None:
        self._undecoded += size
        if self._undecoded < UNDECODED_BYTES:
            self._fetcher.go_on()
        else:
            self._fetcher.hold()

    def _tell_soon(self) -> None:
        if len(self._told.ends) >= BATCH:
            self._tell_now()
        elif self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(BATCH_S, self._tell_now)

    def _tell_now(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        told, self._told = self._told, Told([], [])
        self._tell(told)


class _Teller(logging.Handler):
    """Hands messages to the worker, which knows how and where to log them."""

    def __init__(self, catcher: Catcher) -> None:
        super().__init__()
        self._catcher = catcher
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        self._loop.call_soon_threadsafe(self._catcher.note, record.name, record.levelno, text)


async def serve(end: socket.socket) -> None:
    """Work for the worker at the other end until that is gone."""
    reader, writer = await asyncio.open_connection(sock=end)
    job = Job.model_validate(await _hear(reader))
    blobs = BlobStore(job.blobs, cache_dir=Path(job.cache_dir))
    fetcher = Fetcher(job.policy)
    judges = Judges(blobs, job.limits, job.check)
    catcher = Catcher(fetcher, judges, lambda told: writer.write(pack(told)))
    root = logging.getLogger()
    root.setLevel(job.log_level)
    root.handlers[:] = [_Teller(catcher)]
    async with fetcher, asyncio.TaskGroup() as tasks:
        tasks.create_task(catcher.beat())
        while True:
            catcher.obey(read_order(await _hear(reader)))


async def _hear(reader: asyncio.StreamReader) -> Any:
    try:
        return await receive(reader)
    except (asyncio.IncompleteReadError, OSError):
        # Nobody is left to tell anything to; threads that decode are not waited for.
        os._exit(0)


def main(descriptor: int) -> None:
    """Fetch for the worker that holds the other end of a socket."""
    # A worker that is asked to stop ends what flies first, and closes the socket then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    spare_collector()
    asyncio.run(serve(socket.socket(fileno=descriptor)))


def _show(url: str) -> str | None:
    """What may be shown of an address that may hold a name, a password or a token."""
    return redact(url) if "@" in url or "?" in url else None


if __name__ == "__main__":
    main(int(sys.argv[1]))

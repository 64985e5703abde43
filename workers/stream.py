"""Events from a Redis stream, read by a thread of the control worker for as long as it lives."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import DatabaseError
from schemas.settings import Settings
from tasks.context import Context
from tasks.reception import CrowdedError, wake_handler
from tasks.stream import Fields, stream_url, take_entry

log = logging.getLogger(__name__)

GROUP = "afin"
COUNT = 50
BLOCK_S = 1.0
"""Longest wait for an entry, and so for being told to stop."""

PAUSE_S = 2.0
LEASE_S = 60.0
"""An entry that another consumer took and never acknowledged is taken over after this long."""

Entry = tuple[bytes, Fields | None]


class EventStream(threading.Thread):
    """Takes entries in, each acknowledged only once its row in the inbox is committed.

    An entry whose row cannot be written now is tried again before any later one, so that a
    sender's events stay in order. Delivered twice, an entry is kept once.
    """

    def __init__(
        self, resources: Context, *, lease_s: float = LEASE_S, pause_s: float = PAUSE_S
    ) -> None:
        super().__init__(name="events-stream", daemon=True)
        settings = resources.settings
        self._resources = resources
        self._stream = settings.events_stream or ""
        self._open: Callable[[], Redis] = lambda: open_stream(settings)
        self._lease_s, self._pause_s = lease_s, pause_s
        # The same after a restart, so that what the last one left is at hand at once.
        self._consumer = socket.gethostname()
        self._left_over = True
        self._claimed_at = float("-inf")
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read until stopped; a server that went away is waited for."""
        while not self._stopped.is_set():
            try:
                with self._open() as client:
                    self._read(client)
            except RedisError as error:
                log.warning("stream %s: %s; trying again", self._stream, type(error).__name__)
            except Exception:
                # Whatever is wrong now, events are waiting.
                log.exception("stream %s: reading failed and is tried again", self._stream)
            self._stopped.wait(self._pause_s)

    def stop(self) -> None:
        """End it after the entry that it is at."""
        self._stopped.set()
        self.join()

    def _read(self, client: Redis) -> None:
        # Of its own beginning: what was added before afin came is meant for it too.
        try:
            client.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._left_over = True
        while not self._stopped.is_set():
            found = self._take_over(client) or self._next(client)
            taken = sum([self._keep(client, entry) for entry in found])
            if taken:
                wake_handler()

    def _take_over(self, client: Redis) -> Sequence[Entry]:
        """Return entries that somebody took and never acknowledged, as after a crash."""
        now = time.monotonic()
        if now - self._claimed_at < self._lease_s / 4:
            return ()
        _next, entries, *_deleted = _call(
            client.xautoclaim,
            self._stream,
            GROUP,
            self._consumer,
            min_idle_time=round(self._lease_s * 1000),
            count=COUNT,
        )
        if not entries:
            self._claimed_at = now
        return list(entries)

    def _next(self, client: Redis) -> Sequence[Entry]:
        streams = {self._stream: "0" if self._left_over else ">"}
        block_ms = round(BLOCK_S * 1000)
        answer = _call(
            client.xreadgroup, GROUP, self._consumer, streams, count=COUNT, block=block_ms
        )
        listed = answer.items() if isinstance(answer, dict) else answer or ()
        found: list[Entry] = []
        for _name, entries in listed:
            # The third version of the protocol lists them once more.
            found += entries[0] if isinstance(answer, dict) else entries
        self._left_over = self._left_over and bool(found)
        return found

    def _keep(self, client: Redis, entry: Entry) -> bool:
        """Take one entry in, however long that takes, and acknowledge it; whether it is an event.

        Stopped before, it stays with this consumer, and the next one takes it over.
        """
        entry_id, fields = entry[0].decode(), entry[1]
        kept = False
        while not self._stopped.is_set():
            try:
                # Without fields it was deleted meanwhile.
                if fields:
                    kept = take_entry(self._resources, self._stream, entry_id, fields)
            except (CrowdedError, DatabaseError, SQLAlchemyError) as error:
                log.warning("stream %s: %s waits: %s", self._stream, entry_id, _describe(error))
                self._stopped.wait(self._pause_s)
                continue
            if fields and not kept:
                log.warning("stream %s: %s is no event and is recorded", self._stream, entry_id)
            _call(client.xack, self._stream, GROUP, entry_id)
            break
        return kept


def open_stream(settings: Settings) -> Redis:
    """Return a client of the server that holds the stream.

    Raises:
        UsageError: no Redis is named.
    """
    url = stream_url(settings)
    options: dict[str, Any] = {}
    if url.startswith("rediss") and settings.tls_ca_file is not None:
        options["ssl_ca_certs"] = str(settings.tls_ca_file)
    # Longer than it blocks: a server that hangs must not hold the thread.
    return Redis.from_url(url, socket_timeout=BLOCK_S + 10, socket_connect_timeout=5, **options)


def _call(command: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Ask the server; the client's types mix in those of its asynchronous twin."""
    return command(*arguments, **options)


def _describe(error: Exception) -> str:
    # An error of the driver may quote what was to be stored.
    return type(error).__name__ if isinstance(error, SQLAlchemyError) else str(error)

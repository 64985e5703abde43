"""The worker's end of the process that fetches for it: orders go out, ends of fetches come in."""

import asyncio
import math
import os
import socket
import subprocess
import sys
import time
from typing import Self

from schemas.settings import Settings
from tasks.crawl_wire import Job, Order, Told, pack, read_told, receive
from tasks.fetching import make_policy
from tasks.ingest import photo_limits

REAP_S = 5.0
"""A process that was killed has ended within so long, or its disk is stuck."""


class Catching:
    """A process that fetches photos; it ends when this one does, however that happens."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._heard = time.monotonic()

    @classmethod
    async def open(cls, job: Job) -> Self:
        """Start the process and tell it its job."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - takes a millisecond, our own code
                [sys.executable, "-m", "tasks.crawl_catcher", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # It reads what strangers send, and has no use for our keys and passwords.
                env={
                    name: value for name, value in os.environ.items() if name[:5].upper() != "AFIN_"
                },
            )
        catching = cls(process, *await asyncio.open_connection(sock=ours))
        catching._writer.write(pack(job.model_dump(mode="json")))
        return catching

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def send(self, order: Order) -> None:
        """Have a shard fetched, or dropped; lost if the process has ended, which ``hear`` tells."""
        self._writer.write(pack(order))

    async def hear(self) -> Told | None:
        """Return what the process tells next; None once it has ended."""
        try:
            told = read_told(await receive(self._reader))
        except (asyncio.IncompleteReadError, OSError):
            return None
        self._heard = time.monotonic()
        return told

    @property
    def silent_s(self) -> float:
        """How long it has told nothing; a process that is well does every few seconds."""
        return time.monotonic() - self._heard

    def close(self) -> int | None:
        """End the process, if it has not ended, and return its exit code.

        None where even that does not end it, as it waits for a disk that does not answer.
        """
        self.kill()
        try:
            return self._process.wait(REAP_S)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Have the process end, without waiting for it; ``hear`` tells when it has."""
        self._writer.close()
        self._process.kill()


def make_job(settings: Settings) -> Job:
    """How the settings ask one process to fetch photos, to look at and to keep them."""
    at_once = math.ceil(settings.fetch_concurrency / settings.fetch_processes)
    return Job(
        policy=make_policy(settings).model_copy(update={"concurrency": at_once}),
        check=settings.fetch_check,
        limits=photo_limits(settings),
        blobs=settings.blobs,
        cache_dir=str(settings.data_dir.absolute() / "cache"),
        log_level=settings.log_level,
    )

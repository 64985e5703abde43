"""Photos read and decoded ahead of the model: urgent ones first, each once, within bounds."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.vision.batcher import URGENT_STREAK, Batcher, BatcherClosedError, Observer
from schemas.errors import UsageError

if TYPE_CHECKING:
    from pipelines.vision.nvjpeg import Photo

Vector = NDArray[np.float32]
Admit = Callable[[int], None]
Read = Callable[[str, Admit], "Photo"]
"""Turns a photo's name into ``(size, size, 3) uint8``, or a JPEG that the batcher decodes; calls
the other with the bytes it will take before it allocates them, and is made to wait there until
there is room.
"""

REMEMBERED = 2048
"""Vectors kept for a while after they were computed: until their shard has stored them."""

_SHUT = "No more photos are read here: the worker is stopping. Send the message again."


@dataclass(slots=True, eq=False)
class _Job:
    name: str
    future: Future[Vector]
    urgent: bool
    taken: bool = False
    size_bytes: int = 0


class Reader:
    """Reads photos by name on a few threads and hands them to a batcher, in order of arrival.

    Up to ``max_photos`` of each lane, and ``max_bytes`` in all, are decoded or being decoded and
    not yet computed; a photo that is larger than that by itself goes alone. A photo asked for
    again while it is under way is not read twice: both callers get the same future, so nobody
    may cancel it.
    """

    def __init__(
        self,
        read: Read,
        batcher: Batcher,
        *,
        threads: int,
        max_photos: int,
        max_bytes: int,
        observer: Observer | None = None,
    ) -> None:
        if min(threads, max_photos, max_bytes) < 1:
            raise UsageError("A reader needs threads, max_photos and max_bytes >= 1.")
        self._read = read
        self._batcher = batcher
        self._max_photos = max_photos
        self._max_bytes = max_bytes
        self._observer = observer or Observer()
        self._lanes: dict[bool, deque[_Job]] = {True: deque(), False: deque()}
        self._out = {True: 0, False: 0}
        self._bytes = 0
        self._streak = 0
        self._under_way: dict[str, _Job] = {}
        self._recent: OrderedDict[str, Future[Vector]] = OrderedDict()
        self._closed = False
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # threads wait here for a photo they may start
        self._room = threading.Condition(lock)  # and here for memory to decode it into
        self._threads = [
            threading.Thread(target=self._serve, name=f"reader-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, name: str, *, urgent: bool = False) -> Future[Vector]:
        """Ask for a photo's vector, ``(d,) float32``; never waits.

        The future raises what reading, decoding or embedding this photo raised.

        Raises:
            BatcherClosedError: the reader is closed.
        """
        with self._work:
            if self._closed:
                raise BatcherClosedError(_SHUT)
            if name in self._recent:
                return self._recent[name]
            job = self._under_way.get(name)
            if job is None:
                job = self._under_way[name] = _Job(name, Future(), urgent)
                job.future.set_running_or_notify_cancel()
            elif job.taken or job.urgent or not urgent:
                return job.future
            job.urgent = urgent
            # One that waited in the ordinary lane is left there; whoever comes first takes it.
            self._lanes[urgent].append(job)
            self._work.notify()
            return job.future

    def forget(self, names: Iterable[str]) -> None:
        """Drop finished vectors that have been stored: later callers find them there."""
        with self._work:
            for name in names:
                self._recent.pop(name, None)

    @property
    def waiting(self) -> int:
        """Photos asked for that are not yet computed."""
        with self._work:
            return len(self._under_way)

    def close(self, *, drain: bool = True) -> None:
        """Take no more photos and return once those in line are with the batcher, or failed."""
        with self._work:
            self._closed = True
            dropped = [] if drain else self._drop()
            self._work.notify_all()
            self._room.notify_all()
        for job in dropped:
            job.future.set_exception(BatcherClosedError(_SHUT))
        for thread in self._threads:
            thread.join()

    # From here on everything runs on the reader's own threads, or on the batcher's.

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            try:
                inner = self._batcher.submit(self._decode(job), urgent=job.urgent)
            except BaseException as error:  # noqa: BLE001  # handed to the caller whose photo it was
                self._finish(job, error)
            else:
                inner.add_done_callback(partial(self._pass_on, job))

    def _next(self) -> _Job | None:
        """Wait for a photo that may be started; None once closed and nothing is left."""
        with self._work:
            while True:
                for urgent in self._order():
                    if (job := self._take(urgent)) is not None:
                        return job
                if self._closed and not any(self._lanes.values()):
                    return None
                self._work.wait()

    def _order(self) -> tuple[bool, bool]:
        """Urgent photos first, but after a few of them one ordinary photo gets its turn."""
        return (False, True) if self._streak >= URGENT_STREAK else (True, False)

    def _take(self, urgent: bool) -> _Job | None:
        lane = self._lanes[urgent]
        while lane and lane[0].taken:
            lane.popleft()
        if not lane or self._out[urgent] >= self._max_photos:
            return None
        job = lane.popleft()
        job.taken, job.urgent = True, urgent
        self._out[urgent] += 1
        self._streak = self._streak + 1 if urgent else 0
        return job

    def _decode(self, job: _Job) -> "Photo":
        started_s, cpu_started_s = time.monotonic(), time.thread_time()
        photo = self._read(job.name, lambda size_bytes: self._admit(job, size_bytes))
        seconds, cpu_s = time.monotonic() - started_s, time.thread_time() - cpu_started_s
        self._observer.decoded(seconds, cpu_s)
        with self._work:
            self._account(job, photo.nbytes)
        return photo

    def _admit(self, job: _Job, size_bytes: int) -> None:
        """Wait until there is memory for a whole picture; one too large for any goes alone."""
        with self._room:
            self._room.wait_for(
                lambda: (
                    self._bytes in (0, job.size_bytes)
                    or self._bytes + size_bytes <= self._max_bytes
                    or self._closed
                )
            )
            self._account(job, size_bytes)

    def _account(self, job: _Job, size_bytes: int) -> None:
        self._bytes += size_bytes - job.size_bytes
        job.size_bytes = size_bytes
        self._room.notify_all()

    def _pass_on(self, job: _Job, inner: Future[Vector]) -> None:
        error = inner.exception()
        if error is None:
            job.future.set_result(inner.result())
        self._finish(job, error)

    def _finish(self, job: _Job, error: BaseException | None) -> None:
        """Give a photo's place free; a failure is told only then, so that it may be asked again."""
        with self._work:
            del self._under_way[job.name]
            if error is None:
                self._recent[job.name] = job.future
                if len(self._recent) > REMEMBERED:
                    self._recent.popitem(last=False)
            self._out[job.urgent] -= 1
            self._account(job, 0)
            # Once closed, those that find nothing more to do have to be told as well.
            self._work.notify(len(self._threads) if self._closed else 1)
        if error is not None:
            job.future.set_exception(error)

    def _drop(self) -> list[_Job]:
        """Forget every photo that no thread has taken."""
        dropped = {job.name: job for lane in self._lanes.values() for job in lane if not job.taken}
        for lane in self._lanes.values():
            lane.clear()
        for name in dropped:
            del self._under_way[name]
        return list(dropped.values())

"""Threads that own the model and merge the photos of several callers into one forward."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen
from schemas.errors import AfinError, PhotoError, UsageError

if TYPE_CHECKING:
    from pipelines.vision.nvjpeg import Photo

Embed = Callable[[Any], NDArray[np.float32]]
"""``(n, height, width, 3) uint8`` in, ``(n, width of a vector) float32`` out, row by row."""

Gather = Callable[[Sequence[Any]], Any]
"""Puts photos together as what the model takes; decodes those that are still JPEGs."""


class Observer:
    """Hears what is done, for metrics; this one does nothing with it."""

    def computed(self, waits_s: Sequence[float], seconds: float, cpu_s: float) -> None:
        """A batch went through the model: how long each photo waited, and what it took."""

    def decoded(self, seconds: float, cpu_s: float) -> None:
        """A photo was read and decoded."""


URGENT_STREAK = 3
"""Urgent photos that may overtake a waiting ordinary one before it gets its turn."""

PATIENCE = 0.1
"""Share of a forward's time that a photo may wait for company: on a slow device a part batch costs
more than the wait.
"""

_PHOTO_DIMS = 3
_SHUT = "No more photos are embedded here: the worker is stopping. Send the message again."


class BatcherClosedError(AfinError):
    """The batcher embeds nothing any more: it was closed, or its thread died."""


class BatcherStats(Frozen):
    """What a batcher has done: ``photos`` got a vector, ``failures`` an exception."""

    photos: int
    failures: int
    batches: int
    mean_batch: float


@dataclass(frozen=True, slots=True)
class _Item:
    photo: "Photo"
    future: Future[NDArray[np.float32]]
    since: float


class Batcher:
    """Embeds photos one by one for its callers, and in batches for the model.

    A batch goes out when ``batch_size`` photos wait, when the oldest has waited for ``wait_s``
    seconds (unless that is 0: a tenth of the last forward, if that is longer), or when a lane is
    full, for its callers cannot add more then. There are two lanes, urgent and ordinary; each
    holds ``max_pending`` photos, so that a bulk run which fills its own
    never keeps a new account from getting in line. With ``forwards`` above one as many batches
    are under way at once: on a GPU one is copied while another is computed.
    """

    def __init__(
        self,
        embed: Embed,
        *,
        batch_size: int,
        wait_s: float,
        max_pending: int,
        forwards: int = 1,
        observer: Observer | None = None,
        gather: Gather = np.stack,
    ) -> None:
        if batch_size < 1 or max_pending < 1 or not 0 <= wait_s < threading.TIMEOUT_MAX:
            raise UsageError(
                "A batcher needs batch_size and max_pending >= 1, and a finite wait_s >= 0."
            )
        self._embed = embed
        self._gather = gather
        self._limit = batch_size
        self._wait_s = self._patience_s = wait_s
        self._max_pending = max_pending
        self._observer = observer or Observer()
        self._urgent: deque[_Item] = deque()
        self._ordinary: deque[_Item] = deque()
        self._streak = 0
        self._closed = False
        self._photos = self._failures = self._batches = 0
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # the threads wait here for photos
        self._space = threading.Condition(lock)  # callers wait here for room in their lane
        self._threads = [
            threading.Thread(target=self._serve, name=f"batcher-{number}", daemon=True)
            for number in range(forwards)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, photo: "Photo", *, urgent: bool = False) -> Future[NDArray[np.float32]]:
        """Put a photo, ``(height, width, 3) uint8``, in line; wait while its lane is full.

        One that is still a JPEG is for a ``gather`` that decodes it.

        The future gives the photo's vector, ``(d,) float32``, or raises what embedding this photo
        alone raised: PhotoError ``not-finite`` where the vector holds NaN or infinity.

        Raises:
            BatcherClosedError: the batcher is closed, or was while the caller waited.
            UsageError: the array is no photo.
        """
        if isinstance(photo, np.ndarray) and (photo.dtype != np.uint8 or photo.ndim != _PHOTO_DIMS):
            raise UsageError(
                f"A photo is (height, width, 3) uint8, not {photo.shape} {photo.dtype}."
            )
        lane = self._urgent if urgent else self._ordinary
        with self._work:
            # A future's callback runs on a batcher's thread, which must not wait for itself.
            if threading.current_thread() not in self._threads:
                self._space.wait_for(lambda: self._closed or len(lane) < self._max_pending)
            if self._closed:
                raise BatcherClosedError(_SHUT)
            item = _Item(photo, Future(), time.monotonic())
            lane.append(item)
            if self._pending() == 1 or self._is_due():
                self._work.notify()
        return item.future

    def close(self, *, drain: bool = True) -> None:
        """Take no more photos and return once those in line are embedded, or failed if not drain.

        May be called twice and from any thread; a forward under way is always finished first.
        """
        with self._work:
            self._closed = True
            dropped = [] if drain else self._take_all()
            self._work.notify_all()
            self._space.notify_all()
        _give_up(dropped, None)
        for thread in self._threads:
            if threading.current_thread() is not thread:
                thread.join()

    @property
    def batch_size(self) -> int:
        """The most photos in one forward at present: memory may have run out since the start."""
        return self._limit

    @property
    def waiting(self) -> int:
        """Photos in line at this moment."""
        with self._work:
            return self._pending()

    @property
    def stats(self) -> BatcherStats:
        """What has been done so far."""
        with self._work:
            done, batches = self._photos, self._batches
            mean = done / batches if batches else 0.0
            return BatcherStats(
                photos=done, failures=self._failures, batches=batches, mean_batch=mean
            )

    def __enter__(self) -> Self:
        """Return the batcher itself; its thread runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Embed what is in line and close; drop it if the block failed."""
        self.close(drain=error is None)

    # From here on everything runs on the batcher's own threads, or under its lock.

    def _serve(self) -> None:
        """Embed batch after batch until closed; whatever ends the thread, leave no caller hung."""
        batch: list[_Item] = []
        cause: BaseException | None = None
        try:
            while batch := self._next_batch():
                self._run([item for item in batch if item.future.set_running_or_notify_cancel()])
        except BaseException as error:
            cause = error
            raise
        finally:
            with self._work:
                self._closed = True
                left = self._take_all()
                self._space.notify_all()
            _give_up([*batch, *left], cause)

    def _next_batch(self) -> list[_Item]:
        """Wait until a batch should go out and take it; empty once closed and nothing is left."""
        with self._work:
            while not self._is_due():
                if self._closed:
                    return []
                self._work.wait(self._seconds_left())
            batch = self._take()
            self._space.notify_all()
            return batch

    def _is_due(self) -> bool:
        if not self._pending():
            return False
        return self._closed or self._is_full() or (self._seconds_left() or 0.0) <= 0

    def _seconds_left(self) -> float | None:
        """How long the oldest photo may still wait; None where none does."""
        heads = [lane[0].since for lane in (self._urgent, self._ordinary) if lane]
        return min(heads) + self._patience_s - time.monotonic() if heads else None

    def _pending(self) -> int:
        return len(self._urgent) + len(self._ordinary)

    def _is_full(self) -> bool:
        longest = max(len(self._urgent), len(self._ordinary))
        return self._pending() >= self._limit or longest >= self._max_pending

    def _take(self) -> list[_Item]:
        """Take a batch: urgent photos first, but every fourth place for a waiting ordinary one."""
        batch: list[_Item] = []
        while len(batch) < self._limit and self._pending():
            if self._urgent and not (self._ordinary and self._streak >= URGENT_STREAK):
                batch.append(self._urgent.popleft())
                self._streak += 1
            else:
                batch.append(self._ordinary.popleft())
                self._streak = 0
        return batch

    def _take_all(self) -> list[_Item]:
        items = [*self._urgent, *self._ordinary]
        self._urgent.clear()
        self._ordinary.clear()
        return items

    def _run(self, items: list[_Item]) -> None:
        """Embed some photos; if that fails, halve them until the one to blame is alone."""
        while len(items) > self._limit:  # the limit may have shrunk since they were taken
            self._run(items[: self._limit])
            items = items[self._limit :]
        failure = self._forward(items) if items else None
        if failure is None:
            return
        if len(items) == 1:
            self._count(failures=1)
            items[0].future.set_exception(failure)
            return
        half = math.ceil(len(items) / 2)
        if is_out_of_memory(failure):
            self._limit = min(self._limit, half)
        # Its traceback holds the failed forward's tensors, and with them the memory.
        del failure
        self._run(items[:half])
        self._run(items[half:])

    def _forward(self, items: list[_Item]) -> Exception | None:
        """Embed one batch and hand out its vectors; return what went wrong instead, if it did."""
        started_s, cpu_started_s = time.monotonic(), time.thread_time()
        try:
            vectors = np.asarray(
                self._embed(self._gather([item.photo for item in items])), dtype=np.float32
            )
            if vectors.ndim != 2 or len(vectors) != len(items):  # noqa: PLR2004  # rows, columns
                return AfinError(
                    f"The model gave an array of {vectors.shape} for {len(items)} photos; "
                    "use a backbone that gives one vector a photo."
                )
        except Exception as error:  # noqa: BLE001  # handed to the caller whose photo it was
            return error
        seconds, cpu_s = time.monotonic() - started_s, time.thread_time() - cpu_started_s
        if self._wait_s > 0:
            self._patience_s = max(self._wait_s, PATIENCE * seconds)
        self._observer.computed([started_s - item.since for item in items], seconds, cpu_s)
        finite = np.asarray(np.isfinite(vectors).all(axis=1))
        good = int(finite.sum())
        self._count(photos=good, failures=len(items) - good, batches=1)
        for item, vector, usable in zip(items, vectors, finite, strict=True):
            if usable:
                item.future.set_result(vector.copy())
            else:
                item.future.set_exception(
                    PhotoError("not-finite", "The model gives no finite vector for this photo.")
                )
        return None

    def _count(self, *, photos: int = 0, failures: int = 0, batches: int = 0) -> None:
        with self._work:
            self._photos += photos
            self._failures += failures
            self._batches += batches


def _give_up(items: list[_Item], cause: BaseException | None) -> None:
    """Fail photos with BatcherClosedError; those that are done, or were cancelled, stay so."""
    for item in items:
        if item.future.done():
            continue
        if item.future.running() or item.future.set_running_or_notify_cancel():
            error = BatcherClosedError(_SHUT)
            error.__cause__ = cause
            item.future.set_exception(error)


def is_out_of_memory(error: Exception) -> bool:
    """Tell an exhausted device, torch's included, whose class is not imported here for its size."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"

"""A worker whose models answer at once: what is left is Celery, the database and our own code.

``python -m benchmarks.simulated KIND`` runs a real worker of that kind. It notes in a file of
``AFIN_BENCH_CLOCKS`` how much of its CPU went into judging, which is neither Celery nor database.
It also knows tasks that do nothing, in chords of the shape of ours: what those cost is Celery's.
"""

import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar

import numpy as np
from celery import chord, group
from numpy.typing import NDArray
from redis import Redis

from pipelines.text.fasttext import TextModel
from schemas.bundles import BackboneRef
from schemas.settings import load_settings
from tasks import images, verdicts
from tasks.app import app, require_broker, task
from tasks.embedders import Embedders
from workers.kinds import run_worker

CLOCKS = "AFIN_BENCH_CLOCKS"
"""Names the folder of the clocks, a file a process."""

COUNTED = "bench:counted"
"""How many accounts of empty chords were concluded; in the broker."""

VECTORS = np.random.default_rng(0).normal(size=(64, 1280)).astype(np.float32)

Params = ParamSpec("Params")
Result = TypeVar("Result")


@task("bench.shard", ignore_result=True)
def do_nothing(_run: int, _generation: int, _first: int, _last: int) -> str:
    """Stand for a shard of photos."""
    return "photos=30 embedded=30"


@task("bench.conclude", ignore_result=True)
def count(_run: int, _generation: int, first: int, last: int) -> str:
    """Stand for the conclusion of some accounts: only count them."""
    with Redis.from_url(require_broker(load_settings())) as broker:
        broker.incrby(COUNTED, last - first + 1)
    return f"concluded={last - first + 1}"


@task("bench.feed", ignore_result=True)
def send_empty_chords(accounts: int, together: int) -> str:
    """Send chords that do nothing: so many accounts of one shard each, some of them together."""
    for first in range(1, accounts + 1, together):
        last = min(first + together - 1, accounts)
        header = [
            app.signature(
                "bench.shard",
                (1, 0, key, key),
                queue="gpu",
                immutable=True,
                argsrepr=f"run 1, accounts {key}-{key}",
            )
            for key in range(first, last + 1)
        ]
        body = app.signature("bench.conclude", (1, 0, first, last), queue="cpu", immutable=True)
        chord(group(header, app=app), app=app)(body)
    return f"sent={accounts}"


class Embedder:
    """Hands out vectors drawn beforehand."""

    def __init__(self, ref: BackboneRef) -> None:
        self.backbone = SimpleNamespace(ref=ref, device="cpu")
        self.reader = SimpleNamespace(forget=lambda _names: None)
        self._turn = 0

    def submit(self, _sha256: str, **_options: object) -> Future[NDArray[np.float32]]:
        """Answer at once."""
        self._turn += 1
        done: Future[NDArray[np.float32]] = Future()
        done.set_result(VECTORS[self._turn % len(VECTORS), : self.backbone.ref.width])
        return done


class Clock:
    """Adds up CPU seconds of this process in a file that others read while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._file = -1
        self._total_s = 0.0
        self._lock = threading.Lock()

    def wrap(self, work: Callable[Params, Result]) -> Callable[Params, Result]:
        """Count what a function takes."""

        def timed(*args: Params.args, **kwargs: Params.kwargs) -> Result:
            started_s = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                self._add(time.thread_time() - started_s)

        return timed

    def _add(self, cpu_s: float) -> None:
        with self._lock:
            if self._pid != os.getpid():  # a process of the pool, which was forked
                self._pid, self._total_s = os.getpid(), 0.0
                path = self._folder / f"{self._pid}.clock"
                self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            self._total_s += cpu_s
            os.pwrite(self._file, struct.pack("d", self._total_s), 0)


def read_clocks(folder: Path) -> float:
    """Return the CPU seconds that all clocks of a folder have counted so far."""
    found = (struct.unpack("d", path.read_bytes()) for path in folder.glob("*.clock"))
    return float(sum(seconds for (seconds,) in found))


def main(kind: str) -> int:
    """Run one worker with everything heavy taken out."""
    held: dict[str, Embedder] = {}

    @contextmanager
    def borrow(
        _self: Embedders, _name: str, expected: BackboneRef, **_options: object
    ) -> Iterator[Embedder]:
        yield held.setdefault(expected.hash, Embedder(expected))

    def embed(
        self: TextModel, captions: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors = np.resize(VECTORS[:, : self.ref.width], (len(captions), self.ref.width))
        return vectors, np.ones(len(captions), np.bool_)

    # The names are those that the tasks themselves call.
    stand_ins: tuple[tuple[Any, str, Any], ...] = (
        (images, "load_active_backbone", lambda seen=None: seen),
        (Embedders, "borrow", borrow),
        (TextModel, "embed", embed),
    )
    if CLOCKS in os.environ:
        clock = Clock(Path(os.environ[CLOCKS]))
        stand_ins += ((verdicts, "judge_accounts", clock.wrap(verdicts.judge_accounts)),)
    for owner, name, stand_in in stand_ins:
        setattr(owner, name, stand_in)
    return run_worker(kind, load_settings())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

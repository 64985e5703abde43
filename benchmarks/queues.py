"""Trivial jobs enqueued and drained by Celery as we set it up, by dramatiq and by huey.

Each has one worker process with one thread on the same Valkey; a job counts itself there.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis import Redis

from benchmarks.report import note
from schemas.errors import AfinError
from tasks.context import adopt_settings
from workers.broker import EmbeddedBroker

COUNTER = "bench:done"
DEADLINE_S = 300.0
ROOT = Path(__file__).parents[1]
URL = "AFIN_BROKER_URL"

WORKERS = {
    "celery": (
        *("-m", "celery", "-A", "benchmarks.queues:celery_app", "worker", "--pool=threads"),
        *("--concurrency=1", "--queues=control", "--loglevel=ERROR"),
        *("--without-gossip", "--without-mingle"),
    ),
    "dramatiq": ("-m", "dramatiq", "benchmarks.queues:dramatiq_broker", *["-p", "1", "-t", "1"]),
    "huey": ("-m", "huey.bin.huey_consumer", "benchmarks.queues.huey_app", *["-w", "1", "-q"]),
}

PREFETCH = {"dramatiq_queue_prefetch": "100"}
"""For one thread dramatiq fetches two messages and sleeps before it looks again: 260 a second."""


@cache
def counter() -> Redis:
    """The server that all share."""
    return Redis.from_url(os.environ[URL])


def count() -> None:
    """Do the job."""
    counter().incr(COUNTER)


def __getattr__(name: str) -> Any:
    """Make a library's application when its worker asks for it, and no other's."""
    made: dict[str, Callable[[], Any]] = {
        "celery_app": lambda: make_celery()[0],
        "dramatiq_broker": lambda: make_dramatiq()[0],
        "huey_app": lambda: make_huey()[0],
    }
    if name not in made:
        raise AttributeError(name)
    return made[name]()


@cache
def make_celery() -> tuple[Any, Callable[[], object]]:
    """Our own application with one more task."""
    from tasks.app import app, task

    task("bench.count", ignore_result=True)(count)
    return app, lambda: app.send_task("bench.count", queue="control", ignore_result=True)


@cache
def make_dramatiq() -> tuple[Any, Callable[[], object]]:
    """Dramatiq as its own guide sets it up."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker

    broker: Any = RedisBroker
    broker = broker(url=os.environ[URL])
    dramatiq.set_broker(broker)
    actor = dramatiq.actor(count)
    return broker, actor.send


@cache
def make_huey() -> tuple[Any, Callable[[], object]]:
    """Huey with its Redis storage, results off as with the others."""
    from huey import RedisHuey

    app = RedisHuey("bench", url=os.environ[URL], results=False)
    return app, app.task()(count)


def measure_queues(jobs: int, pairs: int) -> dict[str, list[float]]:
    """Return each library's jobs a second, enqueued and drained, turn by turn."""
    speeds: dict[str, list[float]] = {name: [] for name in WORKERS}
    with (
        TemporaryDirectory(prefix="afin-bench-") as folder,
        EmbeddedBroker.start(Path(folder)) as broker,
    ):
        adopt_settings({"AFIN_DATA_DIR": folder, URL: broker.url})
        senders = {
            "celery": make_celery()[1],
            "dramatiq": make_dramatiq()[1],
            "huey": make_huey()[1],
        }
        for number in range(pairs):
            order = list(WORKERS) if number % 2 == 0 else list(WORKERS)[::-1]
            for name in order:
                speeds[name].append(_drain(name, senders[name], jobs))
                note(f"{name:>16}  {speeds[name][-1]:6.0f} jobs/s")
        counter().close()
    return speeds


def _drain(name: str, send: Callable[[], object], jobs: int) -> float:
    """Enqueue and drain once with a worker that is up already."""
    with _worker(name):
        counter().delete(COUNTER)
        send()
        _until(1)
        started_s = time.perf_counter()
        for _ in range(jobs):
            send()
        _until(jobs + 1)
        return jobs / (time.perf_counter() - started_s)


def _until(done: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while int(counter().get(COUNTER) or 0) < done:
        if time.monotonic() > deadline:
            raise AfinError(f"Only {counter().get(COUNTER)!r} of {done} jobs were done in time.")
        time.sleep(0.005)


@contextmanager
def _worker(name: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, *WORKERS[name]],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), **PREFETCH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

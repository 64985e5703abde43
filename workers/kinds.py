"""The five kinds of worker: which queues each serves, how many tasks at once, and why."""

import logging
import os
import sys
import time
from collections.abc import Callable

from schemas.base import Frozen
from schemas.errors import BlobError, LostDatabaseError, UsageError
from schemas.settings import Settings
from tasks.app import EVENT_SUFFIX, QUEUES, serves_in_order
from tasks.garbage import spare_collector
from workers.gpu import attend

log = logging.getLogger(__name__)

WAIT_S = 5.0
"""How often a worker asks again for a database or a photo store that does not answer."""

TRAIN_NICENESS = 10


class WorkerKind(Frozen):
    """How one kind of worker runs; ``pool`` is Celery's name for how it does several at once."""

    name: str
    pool: str
    concurrency: int
    beat: bool = False


def _scrape(settings: Settings) -> WorkerKind:
    # Threads only wait: the fetching itself shares one asyncio loop.
    return WorkerKind(name="scrape", pool="threads", concurrency=settings.scrape_threads)


def _gpu(settings: Settings) -> WorkerKind:
    # Threads read and decode; one batcher thread owns the device.
    return WorkerKind(name="gpu", pool="threads", concurrency=settings.gpu_threads)


def _cpu(settings: Settings) -> WorkerKind:
    count = settings.cpu_processes or os.cpu_count() or 1
    return WorkerKind(name="cpu", pool="prefork", concurrency=count)


def _train(_settings: Settings) -> WorkerKind:
    # One training at a time. A thread and no fork: torch hangs in children of a process using it.
    return WorkerKind(name="train", pool="threads", concurrency=1)


def _control(_settings: Settings) -> WorkerKind:
    # One bulk task at a time, so that two feeders never race for the same window.
    return WorkerKind(name="control", pool="threads", concurrency=1, beat=True)


KINDS: dict[str, Callable[[Settings], WorkerKind]] = {
    "scrape": _scrape,
    "gpu": _gpu,
    "train": _train,
    "cpu": _cpu,
    "control": _control,
}

EVENT_SLOTS = {"scrape": 4, "gpu": 4, "cpu": 1, "control": 1}
"""Slots kept for new accounts for each that is set: a thread costs little, a process memory.

A thread that fetches or delivers may have to wait for a server for long.
"""

RESERVED = tuple(
    f"{kind}{EVENT_SUFFIX}" for kind in KINDS if f"{kind}{EVENT_SUFFIX}" in QUEUES[kind]
)
"""Workers that serve new accounts alone; their pool takes one task at a time."""


def worker_names(settings: Settings) -> tuple[str, ...]:
    """The workers that make a whole: where the broker knows no order, reserved ones besides."""
    return tuple(KINDS) if serves_in_order(settings) else (*KINDS, *RESERVED)


def served_queues(name: str, settings: Settings) -> tuple[str, ...]:
    """The queues of one worker, in the order it serves them.

    RabbitMQ would fill a worker with bulk work and let new accounts wait behind it, so there the
    reserved workers have the queues of new accounts to themselves.
    """
    if name in RESERVED:
        return (name,)
    if serves_in_order(settings):
        return QUEUES[name]
    return tuple(queue for queue in QUEUES[name] if queue not in RESERVED)


def event_slots(name: str, settings: Settings) -> int:
    """How many slots a worker keeps for new accounts beside its others.

    None where the broker knows no order: there the reserved workers are the room.
    """
    if not serves_in_order(settings):
        return 0
    return EVENT_SLOTS.get(name, 0) * settings.event_slots


def celery_arguments(name: str, settings: Settings) -> list[str]:
    """Return the command line of Celery's worker for one kind, or a reserved one.

    Raises:
        UsageError: there is no such kind.
    """
    if name not in (*KINDS, *RESERVED):
        known = ", ".join((*KINDS, *RESERVED))
        raise UsageError(f"No kind of worker {name!r}: use one of {known}.")
    worker = KINDS[name.removesuffix(EVENT_SUFFIX)](settings)
    slots = 1 if name in RESERVED else worker.concurrency + event_slots(name, settings)
    return [
        "worker",
        f"--hostname={name}-{os.getpid()}@%h",
        f"--queues={','.join(served_queues(name, settings))}",
        f"--pool={worker.pool}",
        f"--concurrency={slots}",
        f"--loglevel={settings.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]


def run_worker(kind: str, settings: Settings, *, on_ready: Callable[[], None] | None = None) -> int:
    """Work off one kind's queues until asked to stop; return the exit code.

    With ``on_ready``, which is called once it does, the worker prints nothing on stdout itself.

    A database or photo store that does not answer is waited for.

    Raises:
        UsageError: there is no such kind.
        BrokerError: no broker is named and the embedded one does not run.
        DatabaseError, BlobError: an address cannot be used at all.
    """
    arguments = celery_arguments(kind, settings)
    if kind.removesuffix(EVENT_SUFFIX) == "cpu":
        # One thread a process: there are as many processes as cores. Set before numpy is loaded.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if kind == "train":
        # On a machine without GPU the workers that new accounts wait for get the cores first.
        os.nice(TRAIN_NICENESS)
    from celery.signals import heartbeat_sent, worker_ready

    from tasks.app import app, declare_queues, require_broker
    from tasks.context import context
    from tasks.logs import set_up_logs, writes_json
    from tasks.stream import stream_url
    from tasks.tracing import set_up_tracing
    from workers.beat import Beat
    from workers.last_words import log_last_words
    from workers.room import keep_room
    from workers.stream import EventStream

    require_broker(settings)
    set_up_logs(settings, kind)
    set_up_tracing(settings, kind)
    if slots := event_slots(kind, settings):
        keep_room(app, f"{kind}{EVENT_SUFFIX}", slots)
    # Migrates once here, before processes are forked, and reports a wrong address at once.
    resources = context()
    if kind in KINDS and KINDS[kind](settings).beat:
        worker_ready.connect(lambda **_signal: Beat(app).start(), weak=False)
        if settings.events_stream:
            stream_url(settings)
            worker_ready.connect(lambda **_signal: EventStream(resources).start(), weak=False)
    wait_for(lambda: resources.database.close())  # noqa: PLW0108 - opening it is what may fail
    wait_for(resources.blobs.check)
    if kind.removesuffix(EVENT_SUFFIX) == "gpu":
        attend(settings)
    declare_queues()
    if settings.health_file is not None:
        heartbeat_sent.connect(lambda **_signal: settings.health_file.touch(), weak=False)
    # Celery's banner is no JSON.
    quiet = []
    if writes_json(settings, terminal=sys.stderr.isatty()):
        quiet = ["--quiet"]
        log_last_words(settings, kind)
    if on_ready is not None:
        worker_ready.connect(lambda **_signal: on_ready(), weak=False)
        quiet = ["--quiet"]
    app.loader.import_default_modules()
    spare_collector()
    app.worker_main([*quiet, *arguments])
    return 0


def wait_for(
    reach: Callable[[], object],
    *,
    pause_s: float = WAIT_S,
    say: Callable[[str], object] = log.warning,
) -> None:
    """Try until a server that a worker needs answers, and say so each time that it does not.

    A worker that ended instead would be given up by who started it, and be missing afterwards.
    """
    while True:
        try:
            reach()
        except (LostDatabaseError, BlobError) as error:
            say(f"{error} Trying again in {pause_s:g} s.")
            time.sleep(pause_s)
        else:
            return

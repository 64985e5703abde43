"""The five kinds of worker: which queues each serves, how many tasks at once, and why."""

import os
from collections.abc import Callable

from schemas.base import Frozen
from schemas.errors import UsageError
from schemas.settings import Settings
from tasks.app import QUEUES
from workers.gpu import attend


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
    # One at a time, so that two feeders never race for the same window.
    return WorkerKind(name="control", pool="threads", concurrency=1, beat=True)


KINDS: dict[str, Callable[[Settings], WorkerKind]] = {
    "scrape": _scrape,
    "gpu": _gpu,
    "train": _train,
    "cpu": _cpu,
    "control": _control,
}


def celery_arguments(kind: str, settings: Settings) -> list[str]:
    """Return the command line of Celery's worker for one kind.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"No kind of worker {kind!r}: use one of {', '.join(KINDS)}.")
    worker = KINDS[kind](settings)
    arguments = [
        "worker",
        f"--hostname={kind}-{os.getpid()}@%h",
        f"--queues={','.join(QUEUES[kind])}",
        f"--pool={worker.pool}",
        f"--concurrency={worker.concurrency}",
        f"--loglevel={settings.log_level}",
        "--without-gossip",
        "--without-mingle",
    ]
    if worker.beat:
        arguments.append("--beat")
    return arguments


def run_worker(kind: str, settings: Settings, *, on_ready: Callable[[], None] | None = None) -> int:
    """Work off one kind's queues until asked to stop; return the exit code.

    With ``on_ready``, which is called once it does, the worker prints nothing on stdout itself.

    Raises:
        BrokerError, DatabaseError: what the worker needs cannot be reached.
    """
    arguments = celery_arguments(kind, settings)
    if kind == "cpu":
        # One thread a process: there are as many processes as cores. Set before numpy is loaded.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from celery.signals import worker_ready

    from tasks.app import app, require_broker
    from tasks.context import context

    require_broker(settings)
    # Migrates once here, before processes are forked, and reports a wrong address at once.
    resources = context()
    resources.database.close()
    resources.blobs.check()
    if kind == "gpu":
        attend(settings)
    quiet = []
    if on_ready is not None:
        worker_ready.connect(lambda **_signal: on_ready(), weak=False)
        quiet = ["--quiet"]
    app.worker_main([*quiet, *arguments])
    return 0

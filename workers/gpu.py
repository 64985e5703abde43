"""What a gpu worker does beside its tasks: loads models ahead, serves metrics, ends in time."""

import logging
import threading

from schemas.errors import UsageError
from schemas.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""How often the worker looks whether another bundle was promoted."""

DRAIN_S = 7.0
"""What shards at work get to end once the worker is told to stop; less than its own grace."""


def attend(settings: Settings) -> None:
    """Let the signals of this process's Celery worker start and end what it does beside tasks.

    Raises:
        UsageError: the port for metrics is taken.
    """
    from celery.signals import worker_ready, worker_shutting_down

    from tasks.app import app
    from tasks.context import context

    # SIGQUIT and a second Ctrl-C: tasks get a moment, then their messages go back to the queue.
    app.conf.worker_soft_shutdown_timeout = DRAIN_S
    stopping = threading.Event()

    def begin(**_signal: object) -> None:
        threading.Thread(target=_follow_promotions, args=(stopping,), daemon=True).start()

    def end(**_signal: object) -> None:
        stopping.set()
        # Shards that still wait then go back to their queue at once, for another worker to take.
        timer = threading.Timer(DRAIN_S, lambda: context().embedders.close(drain=False))
        timer.daemon = True
        timer.start()

    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(end, weak=False)
    if settings.metrics_port:
        _serve_metrics(settings)


def _serve_metrics(settings: Settings) -> None:
    from pipelines.vision.devices import device_memory_bytes
    from tasks.context import context
    from tasks.metrics import METRICS

    def waiting() -> list[int]:
        return [embedder.reader.waiting for embedder in context().embedders.all()]

    def memory() -> int:
        held = context().embedders.all()
        return device_memory_bytes(held[0].backbone.device) if held else 0

    METRICS.watch(waiting, memory)
    try:
        METRICS.serve(settings.metrics_port)
    except OSError as error:
        raise UsageError(
            f"Metrics cannot be served on port {settings.metrics_port} ({error.strerror}): "
            "choose another AFIN_METRICS_PORT, one for each gpu worker."
        ) from error


def _follow_promotions(stopping: threading.Event) -> None:
    """Keep the active bundle's backbone loaded and warm before its first account comes."""
    from tasks.images import load_active_backbone

    seen: str | None = None
    while True:
        try:
            seen = load_active_backbone(seen)
        except Exception:
            log.exception("the active bundle's backbone could not be loaded ahead")
        if stopping.wait(LOOK_S):
            return

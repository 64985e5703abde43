"""The Celery application: its queues, routes and limits."""

import logging
import ssl
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from celery import Celery
from kombu import Exchange, Queue, pools
from kombu.transport import TRANSPORT_ALIASES

from schemas.errors import BrokerError
from schemas.runs import Run
from schemas.settings import Settings, load_settings
from tasks.addresses import read_broker_url
from tasks.clock import SteadySchedule
from tasks.telling import tell_arguments

log = logging.getLogger(__name__)

EVENT_SUFFIX = ".event"
"""Queues with this ending hold work for new accounts and are served before bulk work."""

QUEUES: dict[str, tuple[str, ...]] = {
    "scrape": ("scrape.event", "scrape"),
    "gpu": ("gpu.event", "gpu"),
    "train": ("train",),
    "cpu": ("cpu.event", "cpu"),
    "control": ("control.event", "control"),
}
"""What each kind of worker serves, in the order it serves it."""

ROUTES = {
    "scrape.*": "scrape",
    "images.*": "gpu",
    "texts.*": "cpu",
    "explain.*": "cpu",
    "maps.*": "cpu",
    "verdicts.*": "cpu",
    "runs.*": "control",
    "figures.count": "control",
    "events.handle": "control.event",
    "events.fetch": "scrape.event",
    # Waiting for a receiver would hold up the only thread of a control worker.
    "deliver.*": "scrape.event",
    "train.advance": "control",
    "train.backbone": "gpu",
    "train.vectors": "control",
    "train.gather_vectors": "control",
    "train.split": "cpu",
    "train.labels": "train",
    "train.finetune": "train",
    "train.text": "cpu",
    "train.reduce": "cpu",
    "train.network": "train",
    "train.svm": "cpu",
    "train.fuse": "cpu",
    "train.bundle": "cpu",
}

FIGURES_S = 30.0
"""How often it is asked whether whole tables should be counted for monitoring."""

RESULT_EXPIRES_S = 24 * 3600
CHORD_EXPIRES_S = 7 * 24 * 3600
"""A chord's counter must outlive the run that waits for it."""


def broker_url(settings: Settings) -> str | None:
    """Return the broker's address: the setting's, or that of the embedded one if it runs."""
    if settings.broker_url is not None:
        return settings.broker_url.get_secret_value()
    return read_broker_url(settings.data_dir.absolute())


def result_url(settings: Settings) -> str | None:
    """Return where results of header tasks are counted: a Redis, by default the broker.

    Raises:
        BrokerError: the broker is no Redis and no other one is named.
    """
    if settings.result_url is not None:
        return settings.result_url.get_secret_value()
    broker = broker_url(settings)
    if broker is None or broker.partition(":")[0] in {"redis", "rediss", "redis+socket"}:
        return broker
    raise BrokerError(
        "This broker cannot gather results: name a Redis or Valkey for them in AFIN_RESULT_URL."
    )


def require_broker(settings: Settings) -> str:
    """Return the broker's address.

    Raises:
        BrokerError: none is named and the embedded one does not run.
    """
    url = broker_url(settings)
    if url is None:
        raise BrokerError(
            "No broker runs for this data folder: start 'afin up' first, or set AFIN_BROKER_URL."
        )
    return url


def serves_in_order(settings: Settings) -> bool:
    """Whether the broker hands out one queue before another; RabbitMQ knows no such order."""
    named = settings.broker_url
    return named is None or not _is_rabbitmq(named.get_secret_value())


def _is_rabbitmq(url: str | None) -> bool:
    return url is not None and url.partition(":")[0] in {"amqp", "amqps", "pyamqp"}


def _queues(*, quorum: bool) -> list[Queue]:
    """All queues; on RabbitMQ replicated ones, which outlive the loss of a node."""
    # Only topic exchanges can carry messages that RabbitMQ itself holds back for a while.
    exchange = Exchange("afin", type="topic" if quorum else "direct")
    arguments = {"x-queue-type": "quorum"} if quorum else None
    return [
        Queue(name, exchange, routing_key=name, queue_arguments=arguments)
        for names in QUEUES.values()
        for name in names
    ]


def _transport_security(url: str | None, settings: Settings, *, prefix: str) -> dict[str, Any]:
    """What an address with TLS asks for: a certificate that we can check; nothing for others."""
    if url is None or url.partition(":")[0] not in {"rediss", "amqps"}:
        return {}
    ca_file = settings.tls_ca_file or ssl.get_default_verify_paths().cafile
    checks: dict[str, Any] = {f"{prefix}cert_reqs": ssl.CERT_REQUIRED}
    if ca_file is not None:
        checks[f"{prefix}ca_certs"] = str(ca_file)
    if url.startswith("amqps"):
        checks["server_hostname"] = urlsplit(url).hostname
    return checks


def configure(app: Celery, settings: Settings) -> None:
    """Give the application the addresses and limits that the settings ask for."""
    transport: dict[str, Any] = {}
    broker = broker_url(settings)
    results = result_url(settings)
    quorum = _is_rabbitmq(broker)
    if broker is None or broker.startswith("redis"):
        transport = {
            "visibility_timeout": settings.visibility_timeout_s,
            # Lost messages are looked for this often (s) and this rarely (loops).
            "unacked_restore_interval": min(10.0, settings.visibility_timeout_s / 2),
            "unacked_restore_throttle": 1,
            # Serve the first queue named until it is empty: events before bulk work.
            "queue_order_strategy": "priority",
            # One list a queue and not one for each of Celery's own priorities, which nobody uses.
            "priority_steps": [0],
            "socket_keepalive": True,
            "health_check_interval": 30,
        }
    app.conf.update(
        # Without a broker commands refuse to send before they get here.
        broker_url=broker or "redis://127.0.0.1:1/0",
        result_backend=results or "redis://127.0.0.1:1/0",
        broker_transport_options=transport,
        broker_connection_retry_on_startup=True,
        # A server that went away is waited for as long as it takes.
        broker_connection_max_retries=None,
        broker_use_ssl=_transport_security(broker, settings, prefix="" if quorum else "ssl_"),
        redis_backend_use_ssl=_transport_security(results, settings, prefix="ssl_"),
        task_queues=_queues(quorum=quorum),
        # Quorum queues know no limit on what a whole channel may hold back.
        worker_detect_quorum_queues=True,
        task_default_exchange="afin",
        task_default_exchange_type="topic" if quorum else "direct",
        task_default_queue="control",
        task_default_routing_key="control",
        task_create_missing_queues=False,
        task_routes={
            pattern: {"queue": queue, "routing_key": queue} for pattern, queue in ROUTES.items()
        },
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Flower asks for them, again and again, for as long as it runs; else nobody listens.
        worker_send_task_events=False,
        worker_prefetch_multiplier=1,
        # Logs are ours (tasks/logs.py); Celery would replace them, and colour a file's.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_log_color=False,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_expires=RESULT_EXPIRES_S,
        result_chord_ordered=True,
        result_chord_expires=CHORD_EXPIRES_S,
        timezone="UTC",
        beat_schedule={
            "sweep": {
                "task": "runs.sweep",
                "schedule": SteadySchedule(settings.sweep_s),
                # A sweep nobody had time for is not owed: the next one does it all.
                "options": {"expires": max(settings.sweep_s, 1.0)},
            },
            "figures": {
                "task": "figures.count",
                "schedule": SteadySchedule(FIGURES_S),
                "options": {"expires": FIGURES_S},
            },
            **_refreshes(settings),
        },
        # The default keeps its state in a pickle.
        beat_scheduler="celery.beat:Scheduler",
        imports=(
            "tasks.images",
            "tasks.texts",
            "tasks.explain",
            "tasks.maps",
            "tasks.verdicts",
            "tasks.scrape",
            "tasks.crawl",
            "tasks.runs",
            "tasks.train",
            "tasks.events",
            "tasks.deliver",
            "tasks.renewal",
            "tasks.figures",
        ),
    )


def _refreshes(settings: Settings) -> dict[str, Any]:
    """Ask often whether accounts are due for new posts; the database knows when they last were."""
    if not settings.refresh_hours:
        return {}
    every_s = min(settings.refresh_hours * 360.0, 300.0)
    return {
        "refresh": {
            "task": "runs.refresh",
            "schedule": SteadySchedule(every_s),
            "options": {"expires": every_s},
        }
    }


TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "tasks.transport:Transport")
app = Celery("afin")
app.loader.override_backends = dict.fromkeys(("redis", "rediss"), "tasks.results:CountingBackend")
configure(app, load_settings())
tell_arguments()


def connect(settings: Settings) -> None:
    """Point the application of this process at other addresses."""
    # Connections, producers and the result backend would go on with the old ones.
    pools.reset()
    app._after_fork()
    app._local = threading.local()
    # Queues and exchanges are made once, and RabbitMQ's are of another type than Redis's.
    vars(app).pop("amqp", None)
    configure(app, settings)


def declare_queues() -> None:
    """Make every queue on a RabbitMQ, whoever serves it; wait for one that does not answer.

    A worker binds all of them to the exchanges that hold messages back, and would find those
    missing of workers that start after it.
    """
    if not _is_rabbitmq(app.conf.broker_url):
        return
    with app.connection_for_write() as connection:
        connection.ensure_connection(
            lambda error, wait_s: log.warning(
                "RabbitMQ cannot be reached: %s. Trying again in %g s.", error, wait_s
            ),
            interval_start=2,
        )
        for queue in app.amqp.queues.values():
            queue(connection.default_channel).declare()


def control_queue(run: Run) -> str:
    """Return the queue for what a control worker has to do for a run."""
    return f"control{EVENT_SUFFIX}" if run.urgent else "control"


Params = ParamSpec("Params")
Result = TypeVar("Result")


def task(
    name: str, **options: Any
) -> Callable[[Callable[Params, Result]], Callable[Params, Result]]:
    """Register a function as a task under a name that stays when the file moves."""
    register: Callable[[Callable[Params, Result]], Callable[Params, Result]]
    register = app.task(name=name, **options)
    return register

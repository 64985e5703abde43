"""Figures for Prometheus: queues, runs, verdicts, drift.

What is open is read whenever it asks; what would take whole tables, a control worker has counted.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from kombu.exceptions import ChannelError, OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from storage.figures import (
    OPEN,
    RATE_MINUTES,
    CountedFigures,
    Figures,
    count_runs,
    read_figures,
)
from tasks.app import QUEUES, broker_url
from tasks.app import app as celery
from tasks.context import Context
from tasks.figures import SHARE
from web.outcomes import event_figures
from web.site import site_of

STALE_S = 600.0
"""Counts older than this, and than two rounds of counting, are not told: nobody knows any more."""


def metrics_routes() -> list[web.AbstractRouteDef]:
    """Return the address that Prometheus reads; it sends a token where sign-in is needed."""
    return [web.get("/metrics", show)]


async def show(request: web.Request) -> web.StreamResponse:
    """Send all figures as text."""
    site = site_of(request)
    data = await site.call(collect, site.resources)
    return web.Response(body=data, headers={"Content-Type": CONTENT_TYPE_LATEST})


def collect(resources: Context) -> bytes:
    """Return all figures in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Figures(resources))
    return generate_latest(registry)


class _Figures(Collector):
    """Reads everything anew each time: nothing here must outlive a restart."""

    def __init__(self, resources: Context) -> None:
        self._resources = resources

    def describe(self) -> Iterable[Metric]:
        """Say nothing: reading would be needed to know."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every family of figures."""
        yield from _queues(self._resources)
        with self._resources.database.read() as connection:
            last = read_figures(connection)
            age_s = _age(last)
            fresh = (
                last.figures if last and age_s <= max(STALE_S, 2 * SHARE * last.seconds) else None
            )
            yield _runs(connection, fresh)
            yield from event_figures(connection, fresh)
        yield from _counted(fresh)
        yield from _ages(last, age_s)
        yield GaugeMetricFamily(
            "afin_window",
            "Accounts of one run in flight at once",
            self._resources.settings.run_window,
        )


def _queues(resources: Context) -> Iterator[Metric]:
    depth = GaugeMetricFamily("afin_queue_depth", "Messages waiting", labels=["queue"])
    up = GaugeMetricFamily("afin_broker_up", "Whether the broker answers")
    lengths = queue_lengths(resources)
    up.add_metric([], float(lengths is not None))
    for name, length in (lengths or {}).items():
        depth.add_metric([name], length)
    yield up
    yield depth


def queue_lengths(resources: Context) -> dict[str, int] | None:
    """Return how many messages wait in each queue; None where the broker does not answer."""
    if broker_url(resources.settings) is None:
        return None
    try:
        with celery.connection_for_read(connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            return {name: _length(connection, name) for names in QUEUES.values() for name in names}
    except (OperationalError, OSError):
        return None


def _length(connection: Any, name: str) -> int:
    # A channel each: RabbitMQ closes one that asked for a queue it does not know.
    with connection.channel() as channel:
        try:
            count: int = channel.queue_declare(name, passive=True).message_count
        except (ChannelError, *connection.channel_errors):
            # On Redis an empty queue is one that is not there.
            return 0
        return count


def _runs(connection: Connection, counted: Figures | None) -> Metric:
    family = GaugeMetricFamily("afin_runs", "Runs by kind and state", labels=["kind", "state"])
    going = connection.execute(count_runs(OPEN)).all()
    for kind, state, count in (*going, *(counted.ended_runs if counted else ())):
        family.add_metric([kind, state], count)
    return family


def _counted(found: Figures | None) -> Iterator[Metric]:
    """Tell what was counted over whole tables; nothing of what nobody has counted lately."""
    members = GaugeMetricFamily(
        "afin_run_members", "Accounts of unfinished runs by state", labels=["run", "state"]
    )
    addresses = GaugeMetricFamily(
        "afin_crawl_addresses", "Addresses of unfinished crawls", labels=["run", "outcome"]
    )
    accounts = GaugeMetricFamily(
        "afin_accounts_judged", "Accounts whose verdict in force is a bundle's", labels=["bundle"]
    )
    unknown = GaugeMetricFamily(
        "afin_unknown_post_ratio", "Share of usable posts that are unknown", labels=["bundle"]
    )
    rate = GaugeMetricFamily(
        "afin_verdicts_per_minute", f"Verdicts a minute, over {RATE_MINUTES} minutes"
    )
    drift = GaugeMetricFamily(
        "afin_category_accounts",
        "Accounts that have a category now",
        labels=["bundle", "category"],
    )
    if found:
        for run_id, state, count in found.members:
            members.add_metric([str(run_id), state], count)
        for run_id, outcome, count in found.addresses:
            addresses.add_metric([str(run_id), outcome], count)
        for one in found.bundles:
            accounts.add_metric([one.bundle], one.accounts)
            if one.usable:
                unknown.add_metric([one.bundle], one.unknown / one.usable)
        rate.add_metric([], found.verdicts_per_minute)
        for bundle, category, count in found.categories:
            drift.add_metric([bundle, category], count)
    yield from (members, addresses, accounts, unknown, rate, drift)


def _age(found: CountedFigures | None) -> float:
    if found is None:
        return 0.0
    return max((datetime.now(UTC) - found.counted_at).total_seconds(), 0.0)


def _ages(found: CountedFigures | None, age_s: float) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "afin_figures_age_seconds", "How long ago a control worker counted whole tables"
    )
    took = GaugeMetricFamily("afin_figures_seconds", "How long that took")
    if found:
        age.add_metric([], age_s)
        took.add_metric([], found.seconds)
    yield age
    yield took

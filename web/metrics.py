"""Figures for Prometheus: queues, runs, verdicts, drift; read anew whenever it asks."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from kombu.exceptions import ChannelError, OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from schemas.runs import RunState
from storage.tables import run_members, runs
from storage.web_tables import standing_shares, standings
from tasks.app import QUEUES, broker_url
from tasks.app import app as celery
from tasks.context import Context
from web.outcomes import crawl_figures, event_figures
from web.site import site_of

RATE_MINUTES = 5


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
            yield _members(connection)
            yield _runs(connection)
            yield from _verdicts(connection)
            yield from crawl_figures(connection)
            yield from event_figures(connection)
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


def _members(connection: Connection) -> Metric:
    family = GaugeMetricFamily(
        "afin_run_members", "Accounts of unfinished runs by state", labels=["run", "state"]
    )
    query = (
        select(run_members.c.run_id, run_members.c.state, func.count())
        .join(runs, runs.c.id == run_members.c.run_id)
        .where(runs.c.state.in_((RunState.RUNNING, RunState.PAUSED)))
        .group_by(run_members.c.run_id, run_members.c.state)
    )
    for run_id, state, count in connection.execute(query):
        family.add_metric([str(run_id), state], count)
    return family


def _runs(connection: Connection) -> Metric:
    family = GaugeMetricFamily("afin_runs", "Runs by kind and state", labels=["kind", "state"])
    query = select(runs.c.kind, runs.c.state, func.count()).group_by(runs.c.kind, runs.c.state)
    for kind, state, count in connection.execute(query):
        family.add_metric([kind, state], count)
    return family


def _verdicts(connection: Connection) -> Iterator[Metric]:
    accounts = GaugeMetricFamily(
        "afin_accounts_judged", "Accounts whose verdict in force is a bundle's", labels=["bundle"]
    )
    unknown = GaugeMetricFamily(
        "afin_unknown_post_ratio", "Share of usable posts that are unknown", labels=["bundle"]
    )
    rate = GaugeMetricFamily(
        "afin_verdicts_per_minute", f"Verdicts a minute, over {RATE_MINUTES} minutes"
    )
    since = datetime.now(UTC) - timedelta(minutes=RATE_MINUTES)
    columns = standings.c
    query = select(
        columns.bundle_id, func.count(), func.sum(columns.unknown), func.sum(columns.usable)
    ).group_by(columns.bundle_id)
    for bundle_id, count, strange, usable in connection.execute(query):
        accounts.add_metric([bundle_id], count)
        if usable:
            unknown.add_metric([bundle_id], float(strange) / float(usable))
    fresh = select(func.count()).select_from(standings).where(columns.concluded_at >= since)
    rate.add_metric([], connection.scalars(fresh).one() / RATE_MINUTES)
    yield accounts
    yield unknown
    yield rate
    yield _drift(connection)


def _drift(connection: Connection) -> Metric:
    family = GaugeMetricFamily(
        "afin_category_accounts",
        "Accounts that have a category now",
        labels=["bundle", "category"],
    )
    query = (
        select(standings.c.bundle_id, standing_shares.c.category, func.count())
        .join(standings, standings.c.influencer_id == standing_shares.c.influencer_id)
        .where(standing_shares.c.chosen)
        .group_by(standings.c.bundle_id, standing_shares.c.category)
    )
    for bundle_id, category, count in connection.execute(query):
        family.add_metric([bundle_id, category], count)
    return family

"""Figures of crawls and events for Prometheus: what became of addresses, how fast answers come."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from schemas.events import EventState
from schemas.runs import RunState
from storage.crawl_tables import crawl_urls
from storage.event_tables import inbox, outbox
from storage.tables import runs, verdicts

WITHIN = timedelta(hours=1)
"""Latency is that of events which got their verdict lately."""

QUANTILES = (0.5, 0.95)


def crawl_figures(connection: Connection) -> Iterator[Metric]:
    """Tell what became of the addresses of crawls that go on."""
    family = GaugeMetricFamily(
        "afin_crawl_addresses", "Addresses of unfinished crawls", labels=["run", "outcome"]
    )
    query = (
        select(crawl_urls.c.run_id, crawl_urls.c.outcome, func.count())
        .join(runs, runs.c.id == crawl_urls.c.run_id)
        .where(runs.c.state.in_((RunState.RUNNING, RunState.PAUSED)))
        .group_by(crawl_urls.c.run_id, crawl_urls.c.outcome)
    )
    for run_id, outcome, count in connection.execute(query):
        family.add_metric([str(run_id), outcome or "waiting"], count)
    yield family


def event_figures(connection: Connection) -> Iterator[Metric]:
    """Tell how many events and answers stand where, and how long events wait for their verdict."""
    for name, table, what in (
        ("afin_events", inbox, "Events by state"),
        ("afin_deliveries", outbox, "Answers by state"),
    ):
        family = GaugeMetricFamily(name, what, labels=["state"])
        for state, count in connection.execute(
            select(table.c.state, func.count()).group_by(table.c.state)
        ):
            family.add_metric([state], count)
        yield family
    now = datetime.now(UTC)
    oldest = connection.scalar(
        select(func.min(inbox.c.received_at)).where(inbox.c.state == EventState.RECEIVED)
    )
    yield GaugeMetricFamily(
        "afin_oldest_event_seconds",
        "How long the event that waits longest has been here",
        0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0),
    )
    yield _latency(connection, now)


def _latency(connection: Connection, now: datetime) -> Metric:
    family = GaugeMetricFamily(
        "afin_event_latency_seconds",
        "From an event's arrival to its verdict, over the last hour",
        labels=["quantile"],
    )
    query = (
        select(inbox.c.received_at, verdicts.c.concluded_at)
        .join(
            verdicts,
            (verdicts.c.run_id == inbox.c.run_id)
            & (verdicts.c.influencer_id == inbox.c.influencer_id),
        )
        .where(verdicts.c.concluded_at >= now - WITHIN)
    )
    waits = sorted((end - start).total_seconds() for start, end in connection.execute(query))
    for quantile in QUANTILES:
        if waits:
            place = min(int(quantile * len(waits)), len(waits) - 1)
            family.add_metric([str(quantile)], waits[place])
    return family

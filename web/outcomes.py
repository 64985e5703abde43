"""Figures of events for Prometheus: how many stand where, how fast answers come."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, func, select

from schemas.events import DeliveryState, EventState
from storage.event_tables import inbox, outbox
from storage.figures import Figures

WITHIN = timedelta(hours=1)
"""Latency is that of events which got their verdict lately."""

AT_MOST = 2000
"""Of more than these the newest are enough for a quantile."""

QUANTILES = (0.5, 0.95)


def event_figures(connection: Connection, counted: Figures | None) -> Iterator[Metric]:
    """Tell how many events and answers stand where, and how long events wait for their verdict.

    Those that are done with are taken from what was ``counted``.
    """
    for name, table, what, done, number in (
        (
            "afin_events",
            inbox,
            "Events by state",
            EventState.DONE,
            counted and counted.handled_events,
        ),
        (
            "afin_deliveries",
            outbox,
            "Answers by state",
            DeliveryState.DELIVERED,
            counted and counted.delivered_answers,
        ),
    ):
        family = GaugeMetricFamily(name, what, labels=["state"])
        # Every other state by name: "not done" would read all of them.
        others = [state for state in type(done) if state is not done]
        query = select(table.c.state, func.count()).where(table.c.state.in_(others))
        for state, count in connection.execute(query.group_by(table.c.state)):
            family.add_metric([state], count)
        if number:
            family.add_metric([done], number)
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
        f"From an event's arrival to its verdict, over the last hour (of the newest {AT_MOST})",
        labels=["quantile"],
    )
    # An event that was answered is done with in the transaction that stores its verdict. Its state
    # is not asked for: there is an index of it, which leads to all that was ever done.
    query = (
        select(inbox.c.received_at, inbox.c.handled_at)
        .where(
            inbox.c.handled_at >= now - WITHIN,
            inbox.c.run_id.is_not(None),
            inbox.c.problem.is_(None),
        )
        .order_by(inbox.c.handled_at.desc())
        .limit(AT_MOST)
    )
    waits = sorted((end - start).total_seconds() for start, end in connection.execute(query))
    for quantile in QUANTILES:
        if waits:
            place = min(int(quantile * len(waits)), len(waits) - 1)
            family.add_metric([str(quantile)], waits[place])
    return family

"""What Prometheus is told: right, and without reading what has piled up."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from schemas.events import EventState, EventType
from schemas.runs import RunKind, RunState
from storage.event_tables import inbox
from storage.inbox import NewEvent, add_event, bury_event, finish_events, mark_classifying
from storage.members import add_members, finish_members
from storage.runs import create_run, end_run
from storage.tables import influencers
from storage.web_tables import figures, standings
from tasks.context import Context
from tasks.figures import count, count_when_due
from tests.pages import Visitor, World
from tests.statements import listening, plans
from web.metrics import STALE_S, collect


def told(resources: Context, name: str) -> dict[str, float]:
    """Every sample of a family, by its labels."""
    lines = collect(resources).decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith((name + "{", name + " ")))
    return {labels.removeprefix(name): float(value) for labels, _, value in found}


def receive(resources: Context, number: int) -> int:
    with resources.database.write() as connection:
        event = NewEvent(
            sender="agency",
            webhook_id=f"e{number}",
            type=EventType.CREATED,
            username="ana",
            payload={},
            reply=True,
        )
        add_event(connection, event)
        key = connection.scalar(select(inbox.c.id).where(inbox.c.webhook_id == f"e{number}"))
    return int(key or 0)


def test_figures_of_whole_tables_are_those_counted_last(
    visitor: Visitor, resources: Context, world: World
) -> None:
    assert told(resources, "afin_accounts_judged") == {}
    assert told(resources, "afin_figures_age_seconds") == {}
    count_when_due(resources)
    bundle = f'{{bundle="{world.bundle_id}"}}'
    assert told(resources, "afin_accounts_judged") == {bundle: 3.0}
    with resources.database.read() as connection:
        rows = connection.execute(select(standings.c.usable, standings.c.unknown)).all()
    ratio = sum(row.unknown for row in rows) / sum(row.usable for row in rows)
    assert told(resources, "afin_unknown_post_ratio") == {bundle: ratio}
    assert sum(told(resources, "afin_category_accounts").values()) > 0
    assert "afin_accounts_judged" in visitor.get("/metrics").text


def test_what_is_open_is_told_at_once_and_what_has_ended_once_it_was_counted(
    resources: Context,
) -> None:
    events = [receive(resources, number) for number in range(4)]
    with resources.database.write() as connection:
        going = create_run(connection, RunKind.CLASSIFY, params={})
        ended = create_run(connection, RunKind.TRAIN, params={})
        end_run(connection, ended, RunState.FAILED)
        now = datetime.now(UTC)
        account = {"username": "ana", "created_at": now, "updated_at": now}
        connection.execute(influencers.insert().values(id=1, **account))
        add_members(connection, going, [1])
        finish_members(connection, going, [1])
        mark_classifying(connection, going, {events[0]: 1, events[1]: 1})
        connection.execute(
            update(inbox).where(inbox.c.id == events[0]).values(received_at=now - timedelta(0, 7))
        )
        finish_events(connection, events[:1])
        finish_events(connection, events[1:2], problem="The account was erased meanwhile.")
        bury_event(connection, events[2], problem="no")
    assert told(resources, "afin_events") == {'{state="dead"}': 1.0, '{state="received"}': 1.0}
    assert told(resources, "afin_runs") == {'{kind="classify",state="running"}': 1.0}
    count_when_due(resources)
    assert told(resources, "afin_events")['{state="done"}'] == 2.0
    assert told(resources, "afin_runs") == {
        '{kind="classify",state="running"}': 1.0,
        '{kind="train",state="failed"}': 1.0,
    }
    assert told(resources, "afin_run_members") == {f'{{run="{going}",state="done"}}': 1.0}
    # Of two that are done with, one was answered.
    latency = told(resources, "afin_event_latency_seconds")
    assert latency['{quantile="0.5"}'] == pytest.approx(7.0, abs=2.0)


def test_counts_that_nobody_renews_are_no_longer_told(resources: Context) -> None:
    count_when_due(resources)
    assert told(resources, "afin_verdicts_per_minute") == {"": 0.0}
    then = datetime.now(UTC) - timedelta(seconds=STALE_S + 60)
    with resources.database.write() as connection:
        connection.execute(update(figures).values(counted_at=then))
    assert told(resources, "afin_verdicts_per_minute") == {}
    assert told(resources, "afin_figures_age_seconds")[""] > STALE_S


def test_counting_that_takes_long_is_done_seldom(resources: Context) -> None:
    assert count().startswith("seconds=")
    assert count() == "not yet"
    minute_ago = datetime.now(UTC) - timedelta(minutes=1)
    with resources.database.write() as connection:
        connection.execute(update(figures).values(counted_at=minute_ago, seconds=10.0))
    assert count() == "not yet"
    with resources.database.write() as connection:
        connection.execute(update(figures).values(seconds=0.1))
    assert count().startswith("seconds=")
    with resources.database.write() as connection:
        connection.execute(delete(figures))
    assert count().startswith("seconds=")


def test_no_question_reads_what_has_ended(resources: Context, world: World) -> None:
    """Each goes by an index to what is open, or to the last hour."""
    count_when_due(resources)
    with listening(resources.database) as asked:
        collect(resources)
    steps = [step for plan in plans(resources.database, asked) for step in plan.splitlines()]
    tables = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
    assert len(tables) == len(asked) > 4
    assert all(step.startswith("SEARCH") for step in tables), steps
    assert any("ix_inbox_handled_at" in step for step in tables)
    assert not any(EventState.DONE in str(one.parameters) and "count" in one.text for one in asked)

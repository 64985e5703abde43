"""Answers to the platform: written with what they tell, kept until their receiver has them."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from schemas.base import Frozen
from schemas.events import EVENT_VERSION, AnswerType, Delivery, DeliveryState
from schemas.verdicts import Verdict
from storage.database import insert_or_update
from storage.event_tables import outbox
from storage.inbox import InboxRow, events_of_run, finish_events


class DueAnswer(Frozen):
    """An answer to be sent now."""

    id: int
    webhook_id: str
    sender: str
    payload: dict[str, Any]
    attempts: int


def add_answer(
    connection: Connection,
    kind: AnswerType,
    *,
    key: str,
    sender: str,
    username: str,
    data: Mapping[str, Any],
) -> None:
    """Keep an answer to be sent; said again under the same key, it is kept once."""
    now = datetime.now(UTC)
    payload = {
        "type": kind,
        "version": EVENT_VERSION,
        "timestamp": now.isoformat(),
        "data": {"username": username, **data},
    }
    row = {
        "key": key,
        "webhook_id": f"msg_{uuid.uuid4().hex}",
        "sender": sender,
        "type": kind,
        "username": username,
        "payload": payload,
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "next_at": now,
        "created_at": now,
    }
    insert_or_update(connection, outbox, [row], key=["key"])


def answer_events(
    connection: Connection,
    *,
    run_id: int,
    bundle_id: str,
    concluded: Mapping[int, Sequence[Verdict]],
) -> int:
    """Answer the events that waited for these accounts' verdicts; return how many did.

    Called in the transaction that stores the verdicts. All events that a sender had for an account
    get one answer together.
    """
    rows = events_of_run(connection, run_id, list(concluded))
    groups: dict[tuple[str, int], list[InboxRow]] = {}
    for row in rows:
        if row.influencer_id is not None:
            groups.setdefault((row.sender, row.influencer_id), []).append(row)
    for (sender, influencer_id), events in groups.items():
        if any(event.reply for event in events):
            add_answer(
                connection,
                AnswerType.CONCLUDED,
                key=f"verdict:{run_id}:{influencer_id}:{sender}",
                sender=sender,
                username=events[0].username,
                data={
                    "run": run_id,
                    "bundle": bundle_id,
                    "methods": describe_methods(concluded[influencer_id]),
                    "events": [event.webhook_id for event in events],
                },
            )
    finish_events(connection, [row.id for row in rows])
    return len(rows)


def describe_methods(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Describe an account's verdict of each method, as answers and status pages show it."""
    return {
        verdict.method: {
            "categories": list(verdict.categories),
            "enough_posts": verdict.enough,
            "usable_posts": verdict.usable,
            "unknown_posts": verdict.unknown,
            "lacking_posts": verdict.lacking,
            "shares": {
                share.category: {
                    "share": share.share,
                    "low": share.low,
                    "high": share.high,
                    "threshold": share.threshold,
                    "chosen": share.chosen,
                }
                for share in verdict.shares
            },
        }
        for verdict in verdicts
    }


def claim_answers(connection: Connection, *, limit: int, lease_s: float) -> list[DueAnswer]:
    """Take answers that are due, each counted as tried once more and left alone for a while."""
    now = datetime.now(UTC)
    query = (
        select(outbox)
        .where(outbox.c.state == DeliveryState.PENDING, outbox.c.next_at <= now)
        .order_by(outbox.c.next_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).all()
    connection.execute(
        update(outbox)
        .where(outbox.c.id.in_([row.id for row in rows]))
        .values(attempts=outbox.c.attempts + 1, next_at=now + timedelta(seconds=lease_s))
    )
    return [
        DueAnswer(
            id=row.id,
            webhook_id=row.webhook_id,
            sender=row.sender,
            payload=row.payload,
            attempts=row.attempts + 1,
        )
        for row in rows
    ]


def settle_answer(
    connection: Connection,
    identifier: int,
    state: DeliveryState,
    *,
    problem: str | None = None,
    wait_s: float = 0.0,
) -> None:
    """Note how a try ended; one that is still pending is due again after ``wait_s``."""
    now = datetime.now(UTC)
    delivered = now if state is DeliveryState.DELIVERED else None
    connection.execute(
        update(outbox)
        .where(outbox.c.id == identifier, outbox.c.state == DeliveryState.PENDING)
        .values(
            state=state,
            problem=problem[:1000] if problem else None,
            next_at=now + timedelta(seconds=wait_s),
            delivered_at=delivered,
        )
    )


def count_due_answers(connection: Connection) -> int:
    """Return how many answers are due now."""
    query = select(func.count()).where(
        outbox.c.state == DeliveryState.PENDING, outbox.c.next_at <= datetime.now(UTC)
    )
    return connection.scalars(query).one()


def list_answers(
    connection: Connection, *, state: DeliveryState | None = None, limit: int = 100
) -> list[Delivery]:
    """Return answers, newest first."""
    query = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(outbox.c.state == state)
    return [_delivery(row) for row in connection.execute(query)]


def retry_answers(connection: Connection, identifiers: Collection[int] | None = None) -> int:
    """Send dead answers again, all or some; return how many."""
    query = update(outbox).where(outbox.c.state == DeliveryState.DEAD)
    if identifiers is not None:
        query = query.where(outbox.c.id.in_(identifiers))
    return connection.execute(
        query.values(state=DeliveryState.PENDING, attempts=0, next_at=datetime.now(UTC))
    ).rowcount


def forget_answers(connection: Connection, username: str) -> None:
    """Forget everything ever told of an account, sent or not."""
    connection.execute(delete(outbox).where(outbox.c.username == username))


def prune_answers(connection: Connection, *, keep_s: float) -> int:
    """Forget answers that were delivered long ago; return how many."""
    return connection.execute(
        delete(outbox).where(
            outbox.c.state == DeliveryState.DELIVERED,
            outbox.c.delivered_at < datetime.now(UTC) - timedelta(seconds=keep_s),
        )
    ).rowcount


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in Delivery.model_fields})

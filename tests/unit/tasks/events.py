"""Events in the inbox, as the platform would have put them there."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from schemas.events import Delivery, EventStatus
from storage.event_tables import inbox, outbox
from storage.inbox import list_events
from storage.outbox import list_answers
from tasks.context import Context
from tasks.reception import take_event


def a_post(name: str, photos: Sequence[str] = ()) -> dict[str, Any]:
    return {"id": name, "caption": name, "photos": list(photos)}


def tell(
    resources: Context,
    webhook_id: str,
    username: str = "ana",
    *,
    kind: str = "influencer.created",
    posts: Sequence[dict[str, Any]] | None = None,
    sender: str = "default",
) -> None:
    """Put an event into the inbox."""
    data: dict[str, Any] = {"username": username}
    if kind == "post.created":
        (data["post"],) = posts or ()
    elif kind != "influencer.deleted" and posts is not None:
        data["posts"] = list(posts)
    take_event(
        resources, sender=sender, webhook_id=webhook_id, document={"type": kind, "data": data}
    )


def events(resources: Context) -> dict[str, EventStatus]:
    """Every event by its webhook id."""
    with resources.database.read() as connection:
        return {event.webhook_id: event for event in list_events(connection)}


def answers(resources: Context) -> list[Delivery]:
    """Every answer, oldest first."""
    with resources.database.read() as connection:
        return list_answers(connection)[::-1]


def payloads(resources: Context) -> list[dict[str, Any]]:
    """What every answer says, oldest first."""
    with resources.database.read() as connection:
        rows = connection.execute(outbox.select().order_by(outbox.c.id)).all()
    return [row.payload for row in rows]


def hurry(resources: Context) -> None:
    """Let every pause of an event or an answer be over."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    with resources.database.write() as connection:
        connection.execute(update(inbox).values(next_at=past))
        connection.execute(update(outbox).values(next_at=past))

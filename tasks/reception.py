"""Taking events in: checked, kept once, and a worker woken."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from kombu.exceptions import OperationalError
from pydantic import ValidationError

from pipelines.webhooks import Secrets, choose_callback, parse_callbacks, parse_secrets
from schemas.errors import AfinError, UsageError
from schemas.events import EVENTS, EventStatus
from schemas.settings import Settings
from storage.inbox import NewEvent, add_event, count_events_since
from tasks.app import app
from tasks.context import Context

log = logging.getLogger(__name__)

WINDOW_S = 60.0
SHOWN_ERRORS = 5


class CrowdedError(AfinError):
    """A sender has sent too many events within a minute."""


def read_secrets(settings: Settings) -> Secrets:
    """Return the keys of each sender.

    Raises:
        UsageError: none is set, or one is malformed.
    """
    if settings.event_secrets is None:
        raise UsageError(
            "No event can be believed: set AFIN_EVENT_SECRETS to a secret that the platform signs "
            "with; 'afin events secret' makes one."
        )
    return parse_secrets(settings.event_secrets.get_secret_value())


def read_callbacks(settings: Settings) -> Mapping[str, str]:
    """Return where the answers of each sender go.

    Raises:
        UsageError: an address is malformed.
    """
    if settings.callback_url is None:
        return {}
    return parse_callbacks(settings.callback_url.get_secret_value())


def take_event(
    resources: Context, *, sender: str, webhook_id: str, document: object
) -> tuple[EventStatus, bool]:
    """Check and keep an event; return it and whether it is new.

    Raises:
        UsageError: it is none; the fields that are wrong are named.
        CrowdedError: its sender has sent too many within a minute.
        DatabaseError: it cannot be kept now.
    """
    try:
        event = EVENTS.validate_python(document)
    except ValidationError as error:
        raise UsageError(f"Not an event that afin takes: {_explain(error)}.") from None
    reply = choose_callback(read_callbacks(resources.settings), sender) is not None
    fresh = NewEvent(
        sender=sender,
        webhook_id=webhook_id,
        type=event.type,
        username=event.data.username,
        payload=event.model_dump(mode="json"),
        reply=reply,
    )
    most = resources.settings.events_per_minute
    with resources.database.write() as connection:
        since = datetime.now(UTC) - timedelta(seconds=WINDOW_S)
        # Counted where they are kept: several web processes share one limit, also over restarts.
        if count_events_since(connection, sender, since) >= most:
            raise CrowdedError(f"More than {most} events within a minute: send them more slowly.")
        return add_event(connection, fresh)


def wake_handler() -> None:
    """Have waiting events handled now; the sweeper does if this gets lost."""
    try:
        app.send_task("events.handle")
    except (OperationalError, OSError) as error:
        log.warning("nobody was woken for an event, the sweeper will: %s", type(error).__name__)


def _explain(error: ValidationError) -> str:
    """Name what is wrong without repeating what was sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [
        f"{'.'.join(str(part) for part in item['loc'])[:100] or 'event'}: {item['msg'][:200]}"
        for item in found[:SHOWN_ERRORS]
    ]
    more = len(found) - SHOWN_ERRORS
    text = "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
    return text.encode("utf-8", "replace").decode().rstrip(".")

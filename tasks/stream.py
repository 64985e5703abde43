"""Entries of the stream of events: read, kept in the inbox, or recorded as unusable."""

import re
from collections.abc import Mapping

from pipelines.sources.records import parse_json
from pipelines.webhooks import DEFAULT_SENDER
from schemas.errors import UsageError
from schemas.posts import Problem
from schemas.settings import Settings
from storage.problems import add_problems
from tasks.app import broker_url
from tasks.context import Context
from tasks.reception import take_event

Fields = Mapping[bytes, bytes]

_SENDER = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
_ID = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


def stream_url(settings: Settings) -> str:
    """Return the Redis that holds the stream of events: its own address, or the broker.

    Raises:
        UsageError: neither is a Redis.
    """
    own = settings.events_stream_url
    url = broker_url(settings) if own is None else own.get_secret_value()
    if url is None or url.partition(":")[0] not in {"redis", "rediss", "unix"}:
        raise UsageError(
            "AFIN_EVENTS_STREAM is a stream of Redis or Valkey, and the broker is neither: name "
            "the server that holds it in AFIN_EVENTS_STREAM_URL."
        )
    return url


def take_entry(resources: Context, stream: str, entry_id: str, fields: Fields) -> bool:
    """Keep what an entry says, once; return whether it is an event. One that is none is recorded.

    Raises:
        CrowdedError: its sender has sent too many within a minute.
        DatabaseError: nothing can be kept now.
    """
    try:
        sender, webhook_id, document = read_entry(resources.settings, entry_id, fields)
        take_event(resources, sender=sender, webhook_id=webhook_id, document=document)
    except UsageError as error:
        where = f"{stream} {entry_id}"
        problem = Problem(where=where, reason="no-event", detail=str(error))
        with resources.database.write() as connection:
            add_problems(connection, f"stream {stream}", [(problem, None)])
        return False
    return True


def read_entry(settings: Settings, entry_id: str, fields: Fields) -> tuple[str, str, object]:
    """Return the sender, the webhook id and the document of an entry.

    Without an ``id`` the entry's own number is one: delivered twice, it is kept once.

    Raises:
        UsageError: a field is missing, too large or malformed; its value is not repeated.
    """
    body = fields.get(b"event")
    if body is None:
        raise UsageError("The entry has no field 'event' with the event as JSON.")
    if len(body) > settings.event_max_bytes:
        raise UsageError(f"The event has more than {settings.event_max_bytes} bytes.")
    sender = _read_name(fields, b"sender", DEFAULT_SENDER, _SENDER)
    webhook_id = _read_name(fields, b"id", entry_id, _ID)
    try:
        return sender, webhook_id, parse_json(body.decode("utf-8"))
    except ValueError as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:100]
        raise UsageError(f"The event is no JSON: {reason}.") from None


def _read_name(fields: Fields, name: bytes, default: str, form: re.Pattern[str]) -> str:
    text = fields.get(name, default.encode()).decode("ascii", "replace")
    if not form.fullmatch(text):
        raise UsageError(f"The field '{name.decode()}' does not fit {form.pattern}.")
    return text

"""Events from a stream, on the embedded Valkey."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

from schemas.errors import LostDatabaseError, UsageError
from schemas.events import EventStatus
from storage.inbox import list_events
from storage.tables import problems
from tasks.context import Context, context
from tasks.stream import Fields, stream_url, take_entry
from tests.adopted import adopted
from tests.unit.tasks.sent import forget_messages, sent_messages
from tests.unit.workers.proc import until
from workers import stream
from workers.broker import EmbeddedBroker
from workers.stream import GROUP, EventStream

NAME = "platform:events"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker.start(tmp_path_factory.mktemp("broker")) as one:
        yield one


@pytest.fixture
def resources(tmp_path: Path, broker: EmbeddedBroker) -> Iterator[Context]:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_EVENTS_STREAM": NAME,
        "AFIN_EVENTS_STREAM_URL": broker.url,
    }
    with adopted(environment):
        forget_messages()
        yield context()
        forget_messages()


@pytest.fixture
def server(broker: EmbeddedBroker) -> Iterator[Redis]:
    with Redis.from_url(broker.url) as client:
        client.flushall()
        yield client


@contextmanager
def reading(resources: Context, *, lease_s: float = 60.0) -> Iterator[EventStream]:
    thread = EventStream(resources, lease_s=lease_s, pause_s=0.05)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()


def add(server: Redis, username: str = "ana", **fields: Any) -> str:
    event = json.dumps({"type": "influencer.updated", "data": {"username": username}})
    return add_entry(server, {"event": event, **fields})


def add_entry(server: Redis, fields: dict[str, Any]) -> str:
    add_any: Any = server.xadd
    entry: bytes = add_any(NAME, fields)
    return entry.decode()


def kept(resources: Context) -> dict[str, EventStatus]:
    with resources.database.read() as connection:
        return {event.webhook_id: event for event in list_events(connection)}


def recorded(resources: Context) -> list[tuple[str, str]]:
    with resources.database.read() as connection:
        rows = connection.execute(select(problems.c.place, problems.c.detail)).all()
    return [(row.place, row.detail) for row in rows]


def unacknowledged(server: Redis) -> int:
    found: Any = server.xpending(NAME, GROUP)
    return int(found["pending"])


def settled(server: Redis) -> bool:
    """Whether everything was handed out and acknowledged."""
    groups: Any = server.xinfo_groups(NAME)
    return bool(groups) and groups[0]["lag"] == 0 and groups[0]["pending"] == 0


def test_an_event_of_a_stream_is_kept_and_a_worker_woken(resources: Context, server: Redis) -> None:
    add(server, "ana", id="evt_1", sender="agency")
    with reading(resources):
        until(lambda: settled(server))
    (event,) = kept(resources).values()
    assert (event.webhook_id, event.username) == ("evt_1", "ana")
    assert {one.task for one in sent_messages()} == {"events.handle"}


def test_an_entry_without_an_id_is_known_by_its_number(resources: Context, server: Redis) -> None:
    entry = add(server)
    with reading(resources):
        until(lambda: settled(server))
    assert set(kept(resources)) == {entry}


def test_an_event_added_twice_is_kept_once(resources: Context, server: Redis) -> None:
    add(server, id="evt_1")
    add(server, id="evt_1")
    with reading(resources):
        until(lambda: settled(server))
    assert set(kept(resources)) == {"evt_1"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"what": "else"}, "no field 'event'"),
        ({"event": "{"}, "no JSON"),
        ({"event": b"\xff"}, "not UTF-8"),
        ({"event": "{}"}, "Not an event"),
        ({"event": "{}", "sender": "no name!"}, "'sender'"),
        ({"event": "{}", "id": "two words"}, "'id'"),
        ({"event": "x" * 2**21}, "bytes"),
    ],
)
def test_a_bad_entry_is_recorded_and_hurts_only_itself(
    resources: Context, server: Redis, fields: dict[str, Any], reason: str
) -> None:
    entry = add_entry(server, fields)
    add(server, id="evt_good")
    with reading(resources):
        until(lambda: settled(server))
    assert set(kept(resources)) == {"evt_good"}
    ((place, detail),) = recorded(resources)
    assert place == f"{NAME} {entry}"
    assert reason in detail


def test_an_entry_is_acknowledged_only_once_it_is_kept(
    resources: Context, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def away_at_first(resources: Context, name: str, entry_id: str, fields: Fields) -> bool:
        tries.append(entry_id)
        assert unacknowledged(server) > 0
        if len(tries) < 3:
            raise LostDatabaseError("The database is away.")
        return take_entry(resources, name, entry_id, fields)

    monkeypatch.setattr(stream, "take_entry", away_at_first)
    first, second = add(server), add(server)
    with reading(resources):
        until(lambda: settled(server))
    assert tries == [first, first, first, second]
    assert set(kept(resources)) == {first, second}


def test_a_sender_that_is_too_fast_waits_in_the_stream(
    tmp_path: Path, server: Redis, broker: EmbeddedBroker
) -> None:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_EVENTS_STREAM": NAME,
        "AFIN_EVENTS_STREAM_URL": broker.url,
        "AFIN_EVENTS_PER_MINUTE": "1",
    }
    with adopted(environment):
        first, _second = add(server), add(server)
        with reading(context()):
            until(lambda: len(kept(context())) == 1)
        assert set(kept(context())) == {first}
        assert unacknowledged(server) == 1


def test_what_a_lost_consumer_took_is_taken_over(resources: Context, server: Redis) -> None:
    server.xgroup_create(NAME, GROUP, id="0", mkstream=True)
    entry = add(server)
    server.xreadgroup(GROUP, "lost", {NAME: ">"})
    assert unacknowledged(server) == 1
    with reading(resources, lease_s=0.01):
        until(lambda: settled(server))
    assert set(kept(resources)) == {entry}


def test_what_was_left_at_a_crash_is_taken_at_once_after_the_restart(
    resources: Context, server: Redis
) -> None:
    server.xgroup_create(NAME, GROUP, id="0", mkstream=True)
    left, deleted = add(server), add(server)
    server.xreadgroup(GROUP, socket.gethostname(), {NAME: ">"})
    server.xdel(NAME, deleted)
    later = add(server)
    with reading(resources, lease_s=3600):
        until(lambda: settled(server))
    assert list(kept(resources)) == [later, left]
    assert recorded(resources) == []


def test_an_emptied_server_is_read_again(resources: Context, server: Redis) -> None:
    add(server, id="evt_1")
    with reading(resources):
        until(lambda: settled(server))
        server.flushall()
        add(server, id="evt_2")
        until(lambda: "evt_2" in kept(resources))
    assert set(kept(resources)) == {"evt_1", "evt_2"}


def test_a_stream_needs_a_redis(tmp_path: Path) -> None:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path),
        "AFIN_BROKER_URL": "amqp://guest:guest@127.0.0.1:1//",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_EVENTS_STREAM": NAME,
    }
    with (
        adopted(environment) as settings,
        pytest.raises(UsageError, match="AFIN_EVENTS_STREAM_URL"),
    ):
        stream_url(settings)

"""Chords counted, and clients of the transport, with the real broker."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from kombu import Connection

from tasks.app import app
from tasks.results import CountingBackend
from tasks.transport import Channel, Transport
from tests.adopted import adopted
from workers.broker import EmbeddedBroker

GROUP = "chord-1"
QUEUE = "cpu"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with (
        EmbeddedBroker.start(tmp_path) as one,
        adopted({"AFIN_DATA_DIR": str(tmp_path), "AFIN_BROKER_URL": one.url}),
    ):
        yield one
        app.close()


@pytest.fixture
def backend(broker: EmbeddedBroker) -> CountingBackend:
    made = app.backend
    assert isinstance(made, CountingBackend)
    made.set_chord_size(GROUP, 3)
    return made


def end_header(backend: CountingBackend, number: int, state: str = "SUCCESS") -> None:
    """Tell that a header task of the chord has ended."""
    body = app.signature("verdicts.conclude_group", (1, 0, 1, 3), queue=QUEUE, immutable=True)
    request = SimpleNamespace(
        id=f"task-{number}", group=GROUP, group_index=number, chord=dict(body)
    )
    backend.on_chord_part_return(request, state, "photos=30")


def sent_bodies(backend: CountingBackend) -> int:
    count: int = backend.client.llen(QUEUE)
    return count


def test_the_body_is_sent_once_all_headers_were_counted(backend: CountingBackend) -> None:
    end_header(backend, 0)
    end_header(backend, 1)
    assert sent_bodies(backend) == 0
    end_header(backend, 2)
    assert sent_bodies(backend) == 1


def test_a_header_that_is_done_again_counts_once(backend: CountingBackend) -> None:
    for number in (0, 1, 1, 0):
        end_header(backend, number)
    assert sent_bodies(backend) == 0


def test_a_header_that_failed_holds_nobody_up(backend: CountingBackend) -> None:
    for number, state in enumerate(("SUCCESS", "FAILURE", "SUCCESS")):
        end_header(backend, number, state)
    assert sent_bodies(backend) == 1


def test_a_last_header_done_again_sends_the_body_that_could_not_be_sent(
    backend: CountingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        end_header(backend, number)
    with monkeypatch.context() as patched:
        patched.setattr(app, "send_task", _refuse)
        end_header(backend, 2)
    assert sent_bodies(backend) == 0
    end_header(backend, 2)
    assert sent_bodies(backend) == 1


def test_a_header_done_again_after_the_body_was_sent_sends_nothing(
    backend: CountingBackend,
) -> None:
    for number in (0, 1, 2, 2, 0):
        end_header(backend, number)
    assert sent_bodies(backend) == 1


def test_what_was_counted_is_forgotten_with_the_body(backend: CountingBackend) -> None:
    for number in range(3):
        end_header(backend, number)
    assert list(backend.client.scan_iter(f"*{GROUP}*")) == []


def test_a_channel_sends_everything_by_one_client(broker: EmbeddedBroker) -> None:
    with Connection(broker.url) as connection:
        assert isinstance(connection.transport, Transport)
        channel = connection.default_channel
        assert isinstance(channel, Channel)
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        assert channel.client is not first


def test_a_channel_that_lost_its_server_makes_another_client(broker: EmbeddedBroker) -> None:
    with Connection(broker.url) as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as before:
            before.ping()
        channel._disconnect_pools()
        with channel.conn_or_acquire() as after:
            assert after is not before
            assert after.ping()


def _refuse(*_given: object, **_options: object) -> None:
    raise OSError("The broker is away.")

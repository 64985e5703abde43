"""Chords counted, with the real broker."""

from types import SimpleNamespace

import pytest

from tasks.app import app
from tasks.results import CountingBackend
from workers.broker import EmbeddedBroker

GROUP = "chord-1"
QUEUE = "cpu"


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


def _refuse(*_given: object, **_options: object) -> None:
    raise OSError("The broker is away.")

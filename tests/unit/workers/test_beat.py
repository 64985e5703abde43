"""Beat as a thread: what is scheduled is sent, also after beat itself failed."""

from pathlib import Path

import pytest
from celery.beat import Service
from kombu.transport.memory import Channel

from tasks.app import app
from tests.adopted import adopted
from tests.unit.tasks.sent import forget_messages, sent_messages
from tests.unit.workers.proc import until
from workers import beat

IN_MEMORY = {"AFIN_BROKER_URL": "memory://", "AFIN_RESULT_URL": "cache+memory://"}


def sweeps() -> int:
    return sum(one.task == "runs.sweep" for one in sent_messages())


def test_the_sweeper_is_sent_by_a_thread_that_starts_again_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [RuntimeError("a broker that went away")]

    class Failing(Service):  # type: ignore[misc]  # Celery has no types
        def start(self, embedded_process: bool = False) -> None:
            if failures:
                raise failures.pop()
            super().start(embedded_process)

    monkeypatch.setattr(beat, "Service", Failing)
    monkeypatch.setattr(beat, "PAUSE_S", 0.01)
    with adopted({"AFIN_DATA_DIR": str(tmp_path), "AFIN_SWEEP_S": "0.05", **IN_MEMORY}):
        forget_messages()
        running = beat.Beat(app)
        running.start()
        until(lambda: sweeps() >= 2)
        running.stop()
        Channel.queues.clear()
    assert not failures

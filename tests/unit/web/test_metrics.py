"""What metrics say of a real broker."""

from pathlib import Path

from tasks.app import app
from tasks.context import context
from tests.adopted import adopted
from web.metrics import queue_lengths
from workers.broker import EmbeddedBroker


def test_messages_are_counted_by_queue_and_an_empty_queue_has_none(tmp_path: Path) -> None:
    with EmbeddedBroker.start(tmp_path) as broker:
        settings = {"AFIN_DATA_DIR": str(tmp_path), "AFIN_BROKER_URL": broker.url}
        with adopted(settings):
            app.send_task("runs.feed", (1,))
            lengths = queue_lengths(context())
            app.close()
    assert lengths is not None
    assert lengths["control"] == 1
    assert lengths["gpu"] == lengths["train"] == 0


def test_a_broker_that_is_not_there_has_no_queues(tmp_path: Path) -> None:
    with adopted({"AFIN_DATA_DIR": str(tmp_path)}):
        assert queue_lengths(context()) is None

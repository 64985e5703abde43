"""The application follows its settings from one broker to another."""

from pathlib import Path

from tasks.app import app
from tests.adopted import adopted


def exchange_types() -> set[str]:
    return {queue.exchange.type for queue in app.amqp.queues.values()}


def test_queues_are_made_anew_for_a_broker_of_another_kind(tmp_path: Path) -> None:
    home = {"AFIN_DATA_DIR": str(tmp_path), "AFIN_RESULT_URL": "redis://127.0.0.1:1/0"}
    with adopted({**home, "AFIN_BROKER_URL": "redis://127.0.0.1:1/0"}):
        assert exchange_types() == {"direct"}
    with adopted({**home, "AFIN_BROKER_URL": "amqp://guest@127.0.0.1:1//"}):
        assert exchange_types() == {"topic"}
        assert app.amqp.default_exchange.type == "topic"

"""Resources of a process for tests: empty stores, and a broker that lives in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.transport.memory import Channel

from pipelines.sources.sandbox import Sandbox
from tasks.app import app
from tasks.context import Context, context
from tests.adopted import adopted
from tests.sandbox import clock, sandbox
from tests.unit.tasks.crawling import Driver, driving
from workers.broker import EmbeddedBroker

__all__ = ["clock", "driver", "resources", "resources_on_both", "sandbox"]


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    """This process's context on an empty SQLite store; what is sent stays in memory."""
    with adopted(
        {
            "AFIN_DATA_DIR": str(tmp_path / "data"),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
        }
    ):
        yield context()
        Channel.queues.clear()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A real broker, which this process's application talks to."""
    with (
        EmbeddedBroker.start(tmp_path) as one,
        adopted({"AFIN_DATA_DIR": str(tmp_path), "AFIN_BROKER_URL": one.url}),
    ):
        yield one
        app.close()


@pytest.fixture
def resources_on_both(database_url: str, tmp_path: Path) -> Iterator[Context]:
    """The same on SQLite and on PostgreSQL in turn."""
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_DATABASE_URL": database_url}):
        yield context()


@pytest.fixture
def driver(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """A driver of crawls against a well-behaved sandbox, on SQLite."""
    with driving(sandbox, tmp_path, monkeypatch) as running:
        yield running

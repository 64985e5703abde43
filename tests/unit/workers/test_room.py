"""Slots kept for new accounts: bulk work never gets them, however much of it there is."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from tasks.app import app
from tasks.context import adopt_settings
from tests.adopted import adopted
from tests.unit.workers.crowded import ANSWERED, TAKEN
from workers.broker import EmbeddedBroker
from workers.processes import Child, ChildSpec
from workers.supervisor import settings_env

pytestmark = pytest.mark.timeout(180)

BULK_SLOTS = 2
DEADLINE_S = 90.0


@contextmanager
def crowded(folder: Path, pool: str, slots: int) -> Iterator[Redis]:
    """A worker all of whose bulk slots are taken, with more bulk work waiting."""
    with adopted({"AFIN_DATA_DIR": str(folder)}), EmbeddedBroker.start(folder) as broker:
        settings = adopt_settings({"AFIN_BROKER_URL": broker.url})
        module = "tests.unit.workers.crowded"
        child = Child(
            ChildSpec(
                name="crowded",
                argv=(sys.executable, "-m", module, pool, str(BULK_SLOTS), str(slots)),
                env=settings_env(settings),
                grace_s=1.0,
            ),
            folder / "logs",
        )
        child.start()
        try:
            with Redis.from_url(broker.url) as client:
                for _ in range(BULK_SLOTS + slots + 2):
                    app.send_task("test.hold", queue="gpu")
                until_taken(client, BULK_SLOTS, child)
                yield client
        finally:
            child.kill()
            child.stop()
            app.close()


def until_taken(client: Redis, slots: int, child: Child) -> None:
    end = time.monotonic() + DEADLINE_S
    while int(client.get(TAKEN) or 0) < slots:
        assert time.monotonic() < end, child.tail()
        assert child.alive(), child.tail()
        time.sleep(0.05)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_new_account_is_served_while_bulk_work_fills_a_worker(tmp_path: Path, pool: str) -> None:
    with crowded(tmp_path, pool, 1) as client:
        for _ in range(3):
            app.send_task("test.answer", queue="gpu.event")
            assert client.blpop([ANSWERED], timeout=DEADLINE_S) is not None
        # Whoever answered took none of the slots that bulk work has, nor did that take ours.
        assert int(client.get(TAKEN) or 0) == BULK_SLOTS

"""A gpu worker that is told to stop ends what it has begun and leaves the rest to others."""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from redis import Redis
from sqlalchemy import func, select, update

from benchmarks.bundle import publish_untrained_bundle
from benchmarks.house import take_in
from benchmarks.photos import write_photos
from schemas.runs import RunKind, RunState
from storage.bundles import find_bundle
from storage.runs import create_run
from storage.tables import image_vectors, posts, runs
from tasks.app import app
from tasks.context import Context, adopt_settings, context
from tests.adopted import adopted
from tests.houses import until
from workers.broker import EmbeddedBroker
from workers.processes import Child, ChildSpec
from workers.supervisor import settings_env

PHOTOS = 120
"""One a message; far more than the worker takes at once."""

pytestmark = pytest.mark.timeout(300)


class Queue(NamedTuple):
    """A broker with one message a photo, and a gpu worker that works them off."""

    resources: Context
    broker: Redis
    worker: Child

    def vectors(self) -> int:
        with self.resources.database.read() as connection:
            return connection.scalars(select(func.count()).select_from(image_vectors)).one()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    settings = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BATCH_SIZE": "1",
        "AFIN_GPU_THREADS": "4",
    }
    random = Random(3)  # noqa: S311 - the same accounts every time
    with (
        adopted(settings),
        EmbeddedBroker.start(tmp_path / "data") as broker,
        Redis.from_url(broker.url) as client,
    ):
        adopted_settings = adopt_settings({"AFIN_BROKER_URL": broker.url})
        resources = context()
        publish_untrained_bundle(resources, "efficientnet_lite0")
        paths, _kind = write_photos(tmp_path / "photos", PHOTOS, random)
        take_in(resources, paths, random)
        send_one_by_one(resources)
        spec = ChildSpec(
            name="gpu",
            argv=(sys.executable, "-m", "workers", "gpu"),
            env=settings_env(adopted_settings),
            grace_s=60.0,
        )
        worker = Child(spec, tmp_path / "logs")
        worker.start()
        try:
            yield Queue(resources, client, worker)
        finally:
            worker.request_stop()
            until(lambda: not worker.alive())
            app.close()


def test_what_was_begun_is_stored_and_all_else_stays_in_the_queue(queue: Queue) -> None:
    until(lambda: queue.vectors() > 0)
    queue.worker.request_stop()
    until(lambda: not queue.worker.alive())
    assert queue.worker.poll() == 0
    done, left = queue.vectors(), queue.broker.llen("gpu")
    assert 0 < done < PHOTOS
    assert (queue.broker.hlen("unacked"), done + left) == (0, PHOTOS)


def test_the_next_worker_goes_on_where_it_stopped(queue: Queue) -> None:
    until(lambda: queue.vectors() > 0)
    queue.worker.request_stop()
    until(lambda: not queue.worker.alive())
    queue.worker.start()
    until(lambda: queue.vectors() == PHOTOS)
    until(lambda: queue.broker.hlen("unacked") == 0)


def send_one_by_one(resources: Context) -> None:
    """Send a message a post for a run that the feeder leaves alone."""
    with resources.database.write() as connection:
        bundle = find_bundle(connection)
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=bundle.id)
        connection.execute(update(runs).where(runs.c.id == run_id).values(state=RunState.PAUSED))
        places = connection.execute(select(posts.c.influencer_id, posts.c.id)).all()
    for account, post in places:
        app.send_task("images.embed", (run_id, 0, account, post, post))

"""What can go wrong under a running house, each as one function that does it."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from random import Random

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select, update

from schemas.runs import MemberState
from storage.tables import run_members
from tasks.app import QUEUES, require_broker
from tests.houses import House, until
from tests.postgres import Cluster

VISIBILITY_S = 4.0
"""The house's own setting: how long a silent worker keeps a message for itself."""

WORKERS = ("scrape", "gpu", "cpu", "control")
DISK_FULL_S = 2.0
HOUR = timedelta(hours=1)

Disturbance = Callable[[House, Random], None]


def kill_worker(house: House, random: Random) -> None:
    """A worker dies; control takes beat and the feeder with it."""
    house.kill(random.choice(WORKERS))


def kill_feeder_and_beat(house: House, random: Random) -> None:
    """The worker that feeds dies, and beat with it, which is a thread of that."""
    house.kill("control")


def kill_web(house: House, random: Random) -> None:
    """The process dies that takes events in."""
    house.kill("web")


def kill_embedder(house: House, random: Random) -> None:
    """The worker that holds most of the work dies."""
    house.kill("gpu")


def kill_pool_process(house: House, random: Random) -> None:
    """A process of the cpu worker's pool dies, as the kernel's OOM killer would have it."""
    path = f"/proc/{house.pid('cpu')}/task/{house.pid('cpu')}/children"
    with contextlib.suppress(OSError), open(path) as file:  # noqa: PTH123 - not a file on a disk
        for child in file.read().split():
            os.kill(int(child), signal.SIGKILL)


def kill_broker(house: House, random: Random) -> None:
    """The broker dies; it loses at most its last second."""
    house.kill("broker")


def empty_broker(house: House, random: Random) -> None:
    """Every message and every count of chords is lost."""
    _at_broker(house, lambda broker: broker.flushall())


def freeze_worker(house: House, random: Random) -> None:
    """A worker stands still for longer than the broker waits, then goes on unaware."""
    pid = house.pid(random.choice(("gpu", "cpu")))
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(2 * VISIBILITY_S)
        os.kill(pid, signal.SIGCONT)


def repeat_and_reorder(house: House, random: Random) -> None:
    """Every waiting message is delivered twice, in another order."""

    def shuffle(broker: Redis) -> None:
        for queue in [queue for served in QUEUES.values() for queue in served]:
            waiting = list(broker.lrange(queue, 0, -1)) * 2
            random.shuffle(waiting)
            if waiting:
                broker.rpush(queue, *waiting)

    _at_broker(house, shuffle)


def fill_disk(house: House, random: Random) -> None:
    """For a while a worker cannot write a byte to any file."""
    pid = house.pid(random.choice(("gpu", "cpu", "control")))
    with contextlib.suppress(ProcessLookupError):
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        time.sleep(DISK_FULL_S)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def move_clock_back(house: House, random: Random) -> None:
    """The clock is set back by an hour: all that was noted before lies in the future."""
    _move_clock(house, HOUR)


def move_clock_on(house: House, random: Random) -> None:
    """The clock is set on by an hour: all that was noted before seems long ago."""
    _move_clock(house, -HOUR)


def _move_clock(house: House, by: timedelta) -> None:
    """Move what a run has noted instead of the machine's clock, which others live by."""
    columns = run_members.c
    flying = columns.state == MemberState.IN_FLIGHT
    with house.resources.database.write() as connection:
        rows = connection.execute(select(run_members).where(flying)).all()
        for row in rows:
            connection.execute(
                update(run_members)
                .where(columns.run_id == row.run_id, columns.influencer_id == row.influencer_id)
                .values(touched_at=row.touched_at + by)
            )


def restart_database(cluster: Cluster) -> Disturbance:
    """The database crashes and comes back."""

    def disturb(house: House, random: Random) -> None:
        cluster.stop()
        time.sleep(random.uniform(0.5, 2.0))
        cluster.start()

    return disturb


KILLS: tuple[Disturbance, ...] = (
    kill_worker,
    kill_feeder_and_beat,
    kill_embedder,
    kill_pool_process,
    kill_broker,
    kill_web,
)
LOSSES: tuple[Disturbance, ...] = (
    empty_broker,
    repeat_and_reorder,
    freeze_worker,
    move_clock_back,
    move_clock_on,
)


def _at_broker(house: House, act: Callable[[Redis], object]) -> None:
    def done() -> bool:
        # It may be starting again after its own death.
        with (
            contextlib.suppress(RedisError),
            Redis.from_url(require_broker(house.resources.settings)) as broker,
        ):
            act(broker)
            return True
        return False

    until(done)

"""A worker whose bulk tasks end only when they are let: ``python -m … POOL BULK_SLOTS SLOTS``."""

import sys

from redis import Redis

from tasks.app import app, require_broker, task
from tasks.context import context
from workers.room import keep_room

TAKEN, LET, ANSWERED = "test:taken", "test:let", "test:answered"
DEADLINE_S = 60


def server() -> Redis:
    """The broker, which the test also tells us by what to do."""
    return Redis.from_url(require_broker(context().settings))


@task("test.hold", ignore_result=True)
def hold() -> None:
    """Fill a slot until the test lets go."""
    with server() as broker:
        broker.incr(TAKEN)
        broker.blpop(LET, timeout=DEADLINE_S)


@task("test.answer", ignore_result=True)
def answer() -> None:
    """Say that somebody had time for us."""
    with server() as broker:
        broker.lpush(ANSWERED, 1)


def main(pool: str, bulk_slots: str, slots: str) -> None:
    """Serve new accounts and bulk work, as a gpu worker does."""
    if int(slots):
        keep_room(app, "gpu.event", int(slots))
    app.worker_main(
        [
            "worker",
            "--queues=gpu.event,gpu",
            f"--pool={pool}",
            f"--concurrency={int(bulk_slots) + int(slots)}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

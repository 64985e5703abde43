"""Redis and RabbitMQ for tests: a corner of those that answer locally, or a reason for none."""

import contextlib
import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

from kombu import Connection
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from tasks.app import QUEUES

USUAL_REDIS = "redis://127.0.0.1:6379"
USUAL_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"
TIMEOUT_S = 60


def redis_server() -> str:
    """Where to look: AFIN_TEST_REDIS_URL without a database's number, or the usual port."""
    return os.environ.get("AFIN_TEST_REDIS_URL", USUAL_REDIS).rstrip("/")


def rabbitmq_server() -> str:
    """Where to look: AFIN_TEST_RABBITMQ_URL without a virtual host, or the usual port."""
    return os.environ.get("AFIN_TEST_RABBITMQ_URL", USUAL_RABBITMQ).rstrip("/")


@contextlib.contextmanager
def own_redis() -> Iterator[str | None]:
    """A database of the local Redis that was empty, emptied at the end; None without a server."""
    url = _empty_database(redis_server())
    if url is None:
        yield None
        return
    try:
        yield url
    finally:
        with Redis.from_url(url) as client:
            client.flushdb()


def _empty_database(server: str) -> str | None:
    numbers = list(range(1, 16))
    # Others may look for one on the same server at this moment.
    random.shuffle(numbers)
    with contextlib.suppress(RedisError):
        for number in numbers:
            url = f"{server}/{number}"
            with Redis.from_url(url, socket_connect_timeout=3) as client:
                if client.dbsize() == 0:
                    return url
    return None


@contextlib.contextmanager
def own_vhost() -> Iterator[str | None]:
    """A virtual host of the local RabbitMQ, deleted at the end; None where there can be none."""
    server = rabbitmq_server()
    name = f"afin_test_{uuid.uuid4().hex[:12]}"
    user = urlsplit(server).username or "guest"
    if not _answers(server) or not _control("add_vhost", name):
        yield None
        return
    try:
        assert _control("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield f"{server}/{name}"
    finally:
        _control("delete_vhost", name)


def _answers(server: str) -> bool:
    with Connection(f"{server}//", connect_timeout=3) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
        except OperationalError:
            return False
        return True


def _control(*arguments: str) -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None:
        return False
    ended = subprocess.run(
        [program, "--quiet", *arguments], capture_output=True, timeout=TIMEOUT_S, check=False
    )
    return ended.returncode == 0


def empty_broker(url: str) -> None:
    """Lose every message that waits in a broker."""
    if url.startswith("redis"):
        with Redis.from_url(url) as client:
            client.flushdb()
        return
    with Connection(url) as connection, connection.channel() as channel:
        for queue in [queue for served in QUEUES.values() for queue in served]:
            channel.queue_purge(queue)

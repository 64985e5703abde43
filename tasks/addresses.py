"""Where the embedded broker of a data folder answers, as it recorded itself."""

import contextlib
import os
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from schemas.base import Frozen


class BrokerRecord(Frozen):
    """An embedded broker that runs; ``url`` holds its password, so the file is for its user only.

    ``started_at`` is in UTC.
    """

    url: str
    pid: int
    started_at: datetime


def broker_folder(data_dir: Path) -> Path:
    """Where the embedded broker keeps its data."""
    return data_dir.absolute() / "broker"


def broker_record_path(data_dir: Path) -> Path:
    """The file that holds a ``BrokerRecord`` while the embedded broker runs."""
    return broker_folder(data_dir) / "broker.json"


def write_broker_record(data_dir: Path, record: BrokerRecord) -> None:
    """Write the record whole or not at all, readable by its user only."""
    path = broker_record_path(data_dir)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(record.model_dump_json(indent=2))
    draft.replace(path)


def read_broker_url(data_dir: Path) -> str | None:
    """The address of the embedded broker, or None where none answers.

    A record left behind by a crash is not believed: its process must live, and a server must
    accept the recorded password, which was drawn for that one server. The address holds the
    password: never print it.
    """
    try:
        record = BrokerRecord.model_validate_json(broker_record_path(data_dir).read_bytes())
        os.kill(record.pid, 0)
    except (OSError, ValidationError):
        # A process that is not ours is not the server that our user started.
        return None
    return record.url if answers(record.url) else None


def answers(url: str, timeout_s: float = 5.0) -> bool:
    """Whether a Redis or Valkey server lets us in at the address and has loaded its data."""
    # The client's own retries would wait seconds for a server that is not there.
    client = Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
    with contextlib.closing(client), contextlib.suppress(RedisError):
        return bool(client.ping())
    return False

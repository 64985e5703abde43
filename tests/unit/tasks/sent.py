"""What lies in the queues of the in-memory broker: the very messages a worker would get."""

import base64
import json
from typing import Any

from kombu.transport.memory import Channel

from schemas.base import Frozen
from tasks.app import QUEUES


class Message(Frozen):
    """One message as it lies in a broker; sizes in bytes.

    ``body`` is its chord's, ``callbacks`` are sent by whoever did the task.
    """

    queue: str
    task: str
    args: tuple[Any, ...]
    body: dict[str, Any] | None
    callbacks: tuple[dict[str, Any], ...]
    group: str | None
    args_bytes: int
    size_bytes: int


def sent_messages() -> list[Message]:
    """Every message in our queues, queue by queue, oldest first."""
    names = [name for served in QUEUES.values() for name in served]
    return [
        _read(name, raw)
        for name in names
        if name in Channel.queues
        for raw in list(Channel.queues[name].queue)
    ]


def forget_messages() -> None:
    Channel.queues.clear()


def _read(queue: str, raw: dict[str, Any]) -> Message:
    args, kwargs, embedded = json.loads(base64.b64decode(raw["body"]))
    assert kwargs == {}
    return Message(
        queue=queue,
        task=raw["headers"]["task"],
        args=tuple(args),
        body=embedded["chord"],
        callbacks=tuple(embedded["callbacks"] or ()),
        group=raw["headers"]["group"],
        args_bytes=len(json.dumps(args)),
        # What the Redis transport writes into its list.
        size_bytes=len(json.dumps(raw)),
    )

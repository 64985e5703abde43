"""What a scrape worker and the process that fetches for it tell each other: frames of JSON."""

import asyncio
import json
import struct
from typing import Any, Literal, NamedTuple

from pipelines.sources.http import FetchPolicy
from pipelines.vision.decode import PhotoLimits
from schemas.base import Frozen

_LENGTH = struct.Struct("!I")


class Job(Frozen):
    """How photos are fetched, looked at and kept: the first frame; the rest are ``Order``s."""

    policy: FetchPolicy
    check: Literal["decode", "header"]
    limits: PhotoLimits
    blobs: str
    cache_dir: str
    log_level: str


class Order(NamedTuple):
    """A shard's number with the ids and addresses to fetch, or none: it is to be dropped."""

    shard: int
    wanted: list[tuple[int, str]]


class Kept(NamedTuple):
    """A photo whose bytes are stored; sides in pixels, as a person sees it."""

    sha256: str
    width: int
    height: int
    format: str
    phash: int | None


class End(NamedTuple):
    """How one fetch ended: with a photo, a ``reason`` why there is none, or an ``error`` of ours.

    ``rest_s`` is how long its host asked for patience, and ``asked`` whether it did so of this
    fetch; ``shown`` what may be read of an address that holds more than that.
    """

    shard: int
    url_id: int
    photo: Kept | None = None
    reason: str = ""
    rest_s: float | None = None
    size_bytes: int | None = None
    shown: str | None = None
    error: str | None = None
    asked: bool = True


class Told(NamedTuple):
    """What comes back: ends of fetches, and what was logged as (logger, level, message)."""

    ends: list[End]
    logged: list[tuple[str, int, str]]


def pack(content: object) -> bytes:
    """Write one frame."""
    # Lone surrogates, which addresses may hold, pass as escapes.
    data = json.dumps(content, separators=(",", ":")).encode()
    return _LENGTH.pack(len(data)) + data


async def receive(reader: asyncio.StreamReader) -> Any:
    """Read one frame.

    Raises:
        asyncio.IncompleteReadError, OSError: the other side has ended.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return json.loads(await reader.readexactly(length))


def read_order(frame: Any) -> Order:
    """Read what ``pack`` made of an order."""
    shard, wanted = frame
    return Order(shard, [(url_id, url) for url_id, url in wanted])


def read_told(frame: Any) -> Told:
    """Read what ``pack`` made of what is told."""
    ends, logged = frame
    return Told(
        [_read_end(*one) for one in ends], [(name, level, text) for name, level, text in logged]
    )


def _read_end(shard: int, url_id: int, photo: list[Any] | None, *rest: Any) -> End:
    return End(shard, url_id, None if photo is None else Kept(*photo), *rest)

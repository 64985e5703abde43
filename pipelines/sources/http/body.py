"""Bodies read with a limit on bytes and on what they unpack to; known placeholders."""

import hashlib
import zlib
from collections.abc import Callable
from typing import Protocol

from aiohttp import ClientResponse

from pipelines.sources.http.failures import PassingError
from schemas.errors import FetchError

# "Photo unavailable" pictures that Flickr and others serve in place of a dead photo.
PLACEHOLDER_MD5 = frozenset(
    {
        "880a7a58e05d3e83797f27573bb6d35c",
        "596246739a83bb45e30e13437e0810d9",
        "969e595182a947c7fdaaef4a34401760",
        "af5db09e39ca35d8930b4e59962e09e5",
    }
)
# Lengths of the bodies that Flickr's rate limit serves with status 200; no photo is as short.
PLACEHOLDER_BYTES = frozenset({93, 117})
# They are drawings of a few kilobytes; hashing every photo would cost a tenth of the speed.
LARGEST_PLACEHOLDER = 16 * 1024
# For more at once hashlib gives up the interpreter's lock, and the loop that every fetch turns on
# waits for it longer than the hashing takes.
UNLOCKED_BYTES = 2047


def is_placeholder(body: bytes) -> bool:
    """Whether a photo's body is one of the known stand-ins for a photo that is gone or withheld."""
    if len(body) in PLACEHOLDER_BYTES:
        return True
    if len(body) > LARGEST_PLACEHOLDER:
        return False
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(body), UNLOCKED_BYTES):
        digest.update(body[start : start + UNLOCKED_BYTES])
    return digest.hexdigest() in PLACEHOLDER_MD5


class _Decoder(Protocol):
    def feed(self, chunk: bytes, room: int) -> bytes: ...

    @property
    def complete(self) -> bool: ...


class _Identity:
    complete = True

    def feed(self, chunk: bytes, room: int) -> bytes:
        return chunk[: room + 1]


class _Inflater:
    """Unpacks gzip or deflate and stops one byte past the limit, however much a chunk holds."""

    def __init__(self, encoding: str, name: str) -> None:
        self._gzip = encoding != "deflate"
        self._name = name
        self._stream: zlib._Decompress | None = None

    def feed(self, chunk: bytes, room: int) -> bytes:
        if self._stream is None:
            self._stream = zlib.decompressobj(31 if self._gzip else _deflate_bits(chunk[0]))
        try:
            unpacked = self._stream.decompress(chunk, room + 1)
        except zlib.error:
            raise FetchError(
                "bad-encoding", f"The body of {self._name} is not packed as it says."
            ) from None
        # A second member would be legal, but thousands of tiny ones would cost quadratic time.
        if self._stream.unused_data:
            raise FetchError("bad-encoding", f"Something follows the packed body of {self._name}.")
        return unpacked

    @property
    def complete(self) -> bool:
        return self._stream is None or self._stream.eof


def _deflate_bits(first: int) -> int:
    """Window bits for zlib: "deflate" means a zlib stream, but some servers send a raw one."""
    return 15 if first & 0x0F == 8 and first >> 4 <= 7 else -15  # noqa: PLR2004 (RFC 1950 §2.2)


def _choose_decoder(encoding: str, name: str) -> _Decoder:
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _Identity()
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _Inflater(encoding, name)
    raise FetchError(
        "bad-encoding",
        f"{name} answered packed as {encoding[:40]!r} although nothing of the kind was asked for.",
    )


async def read_body(
    response: ClientResponse,
    name: str,
    *,
    limit: int,
    cut: bool = False,
    heard: Callable[[int], None],
) -> bytes:
    """Read and unpack a body of at most ``limit`` bytes, counted packed and unpacked.

    ``name`` is the redacted address, for messages; ``heard`` is told the bytes received so far,
    first 0. With ``cut``, a longer body is cut there instead of refused.

    Raises:
        FetchError: ``too-big``, ``bad-encoding`` or ``broken-answer``.
    """
    if not cut and (response.content_length or 0) > limit:
        raise _too_big(name, limit)
    encoding = response.headers.get("Content-Encoding", "")
    if not encoding and response.content.is_eof():
        # Small bodies come in with their headers.
        body = response.content.read_nowait()
        if len(body) > limit and not cut:
            raise _too_big(name, limit)
        return body[:limit]
    decoder = _choose_decoder(encoding, name)
    parts: list[bytes] = []
    received = unpacked = 0
    # Nothing is due any more once the end has come in, which for small bodies is at once.
    if not response.content.is_eof():
        heard(0)
    async for chunk in response.content.iter_any():
        received += len(chunk)
        part = decoder.feed(chunk, limit - unpacked)
        unpacked += len(part)
        parts.append(part)
        if max(received, unpacked) > limit:
            if cut:
                return b"".join(parts)[:limit]
            raise _too_big(name, limit)
        if not response.content.is_eof():
            heard(received)
    if not decoder.complete:
        raise PassingError("broken-answer", f"The packed body of {name} ends too early.")
    return b"".join(parts)


def _too_big(name: str, limit: int) -> FetchError:
    return FetchError("too-big", f"The body of {name} is larger than {limit:,} bytes.")

import asyncio
import gzip
import hashlib
import tracemalloc
import zlib
from itertools import count

import pytest

from pipelines.sources.http import Fetcher, is_placeholder
from pipelines.sources.http import body as body_module
from tests.unit.pipelines.http.stand_in import (
    Handler,
    Outcome,
    Request,
    StandIn,
    always,
    fetch_from,
    in_turn,
    policy,
    reply,
    try_fetch,
)

KIB, MIB = 2**10, 2**20
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def then_closes(answer: bytes) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    return handle


def then_hangs(answer: bytes) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.Event().wait()

    return handle


def for_ever(start: bytes, piece: bytes, *, every_s: float = 0.0) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in count():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return handle


def packed(body: bytes, encoding: str) -> bytes:
    return reply(body, Content_Encoding=encoding)


# Slowness


@pytest.mark.parametrize(
    "handler",
    [
        then_hangs(b""),
        then_hangs(HEAD + b"Content-Le"),
        for_ever(HEAD, b"X-A: b\r\n", every_s=0.05),
    ],
)
def test_slow_headers_end_in_a_timeout(handler: Handler) -> None:
    outcome = fetch_from(handler, limits=policy(headers_timeout_s=0.3))
    assert outcome.reason == "timeout"
    assert outcome.elapsed_s < 2.0


def test_silence_before_the_headers_is_a_timeout() -> None:
    outcome = fetch_from(then_hangs(b""), limits=policy(total_timeout_s=0.3, retries=10))
    assert outcome.reason == "timeout"
    assert 0.2 < outcome.elapsed_s < 2.0


def test_a_dripping_body_is_too_slow() -> None:
    handler = for_ever(HEAD + b"Content-Length: 100000\r\n\r\n", b"x", every_s=0.02)
    outcome = fetch_from(handler, limits=policy(retries=5))
    assert outcome.reason == "too-slow"
    assert outcome.elapsed_s < 2.0
    assert len(outcome.server.requests) == 1


def test_a_body_that_stops_is_too_slow() -> None:
    outcome = fetch_from(then_hangs(HEAD + b"Content-Length: 9\r\n\r\nphot"))
    assert outcome.reason == "too-slow"
    assert outcome.elapsed_s < 2.0


@pytest.mark.parametrize("status", ["404 Not Found", "429 Slow", "302 Found"])
def test_a_refusal_counts_although_its_body_never_comes(status: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: 9\r\nLocation: http://10.0.0.1/\r\n\r\n"
    outcome = fetch_from(then_hangs(head.encode()))
    assert outcome.reason in ("http-404", "throttled", "forbidden-address")
    assert outcome.elapsed_s < 2.0


def test_without_a_minimum_rate_the_deadline_still_holds() -> None:
    handler = then_hangs(HEAD + b"Content-Length: 9\r\n\r\nphot")
    limits = policy(min_rate_bytes_s=0, total_timeout_s=0.3)
    outcome = fetch_from(handler, limits=limits)
    assert outcome.reason == "timeout"
    assert outcome.elapsed_s < 2.0


# Size


def test_a_body_that_announces_too_much_is_not_read() -> None:
    outcome = fetch_from(
        then_hangs(HEAD + b"Content-Length: 1001\r\n\r\n"), limits=policy(max_bytes=1000)
    )
    assert outcome.reason == "too-big"
    assert outcome.elapsed_s < 0.2


def test_a_body_of_just_the_limit_is_taken() -> None:
    assert fetch_from(always(reply(b"x" * 1000)), limits=policy(max_bytes=1000)).reason == "ok"


@pytest.mark.parametrize(
    "handler",
    [
        for_ever(CHUNKED, b"1000\r\n" + b"x" * 0x1000 + b"\r\n"),
        for_ever(HEAD + b"Connection: close\r\n\r\n", b"x" * 0x1000),
    ],
    ids=["chunked", "until closed"],
)
def test_an_endless_body_is_cut_at_the_limit(handler: Handler) -> None:
    outcome = measured(handler, max_bytes=MIB)
    assert outcome.reason == "too-big"
    assert outcome.elapsed_s < 3.0


def test_a_chunk_size_without_an_end_is_given_up() -> None:
    outcome = measured(for_ever(CHUNKED, b"0" * 1000))
    assert outcome.reason == "too-slow"
    assert outcome.elapsed_s < 2.0


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD + b"X-Long: ", b"a" * 64 * KIB),
        (HEAD, (b"X-A: " + b"b" * 4000 + b"\r\n") * 16),
        (HEAD, b"X-A: b\r\n" * 8000),
        (b"HTTP/1.1 200 ", b"O" * 64 * KIB),
    ],
    ids=["one long", "many long", "many short", "status line"],
)
def test_megabytes_of_headers_are_a_broken_answer(start: bytes, piece: bytes) -> None:
    outcome = measured(for_ever(start, piece))
    assert outcome.reason == "broken-answer"
    assert outcome.elapsed_s < 3.0


def measured(handler: Handler, *, max_bytes: int = MIB) -> Outcome:
    """Fetch and see that Python's memory grew by no more than a few times the limit."""
    tracemalloc.start()
    try:
        outcome = fetch_from(handler, limits=policy(max_bytes=max_bytes))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * max_bytes + MIB
    return outcome


def bomb(encoding: str, size: int) -> bytes:
    bits = {"gzip": 31, "deflate": 15, "raw": -15}[encoding]
    packer = zlib.compressobj(9, wbits=bits)
    return packer.compress(bytes(size)) + packer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_a_bomb_is_unpacked_to_the_limit_and_no_further(encoding: str) -> None:
    name = "deflate" if encoding == "raw" else encoding
    outcome = measured(always(packed(bomb(encoding, 100 * MIB), name)))
    assert outcome.reason == "too-big"
    assert outcome.elapsed_s < 3.0


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate", "raw"])
def test_what_comes_packed_is_unpacked(encoding: str) -> None:
    kind = "gzip" if "gzip" in encoding.lower() else encoding
    name = "deflate" if encoding == "raw" else encoding
    outcome = fetch_from(always(packed(bomb(kind, 1000), name)))
    assert outcome.answer is not None
    assert outcome.answer.body == bytes(1000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "x" * 1000])
def test_a_packing_that_was_not_asked_for_is_refused(encoding: str) -> None:
    assert fetch_from(always(packed(b"anything", encoding))).reason == "bad-encoding"


def test_nothing_packed_is_asked_for() -> None:
    outcome = fetch_from(always(reply()))
    assert outcome.server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "body", [b"not gzip at all", gzip.compress(b"photo")[:-4] + b"abcd", gzip.compress(b"a") * 2]
)
def test_a_body_not_packed_as_it_says_is_refused(body: bytes) -> None:
    assert fetch_from(always(packed(body, "gzip"))).reason == "bad-encoding"


def test_a_packed_body_that_ends_early_is_a_broken_answer() -> None:
    body = gzip.compress(b"photo" * 1000)[:-10]
    assert fetch_from(always(packed(body, "gzip"))).reason == "broken-answer"


def test_an_empty_body_is_passed_on_to_those_who_decode() -> None:
    outcome = fetch_from(always(packed(b"", "gzip")))
    assert outcome.answer is not None
    assert outcome.answer.body == b""


# Lies and half answers


HALVES = [
    HEAD + b"Content-Length: 1000\r\n\r\nhalf",
    CHUNKED + b"5\r\nphoto\r\n",
    CHUNKED + b"5\r\npho",
    HEAD + b"Content-Type: image/jp",
    b"",
]


@pytest.mark.parametrize("half", HALVES)
def test_half_an_answer_is_a_broken_answer(half: bytes) -> None:
    assert fetch_from(then_closes(half)).reason == "broken-answer"


@pytest.mark.parametrize("half", HALVES)
def test_half_an_answer_is_asked_for_again(half: bytes) -> None:
    first = True

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        writer.write(half if first else reply(b"whole"))
        if first:
            writer.close()
        first = False

    outcome = fetch_from(handle, limits=policy(retries=1))
    assert outcome.answer is not None
    assert outcome.answer.body == b"whole"


def test_a_reset_connection_is_a_broken_answer() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()

    assert fetch_from(handle).reason == "broken-answer"


def test_bytes_beyond_the_announced_length_do_not_reach_the_next_photo() -> None:
    poison = reply(b"photo") + reply(b"POISON")
    outcome = fetch_from(in_turn(poison, reply(b"own")), times=2)
    assert outcome.answer is None or outcome.answer.body == b"own"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/9.9 xyz\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nphoto!",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\nphoto\r\n",
        reply(b"par", "206 Partial Content"),
    ],
)
def test_what_is_not_a_whole_http_answer_is_a_broken_answer(answer: bytes) -> None:
    assert fetch_from(then_closes(answer)).reason == "broken-answer"


def test_encryption_with_somebody_who_knows_none_is_a_tls_failure() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 I speak no TLS\r\n")
        writer.close()

    async def play() -> Outcome:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        stand_in = StandIn(server.sockets[0].getsockname()[1])
        async with server, Fetcher(policy()) as fetcher:
            url = stand_in.url().replace("http:", "https:")
            return await try_fetch(fetcher, stand_in, url)

    assert asyncio.run(play()).reason == "tls"


# Placeholders


@pytest.mark.parametrize("size", [93, 117])
def test_the_short_bodies_of_a_rate_limit_are_placeholders(size: int) -> None:
    assert is_placeholder(b"x" * size)
    assert fetch_from(always(reply(b"x" * size))).reason == "placeholder"


def test_a_known_placeholder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"photo unavailable"
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(body_module, "PLACEHOLDER_MD5", frozenset({digest}))
    assert fetch_from(always(reply(body))).reason == "placeholder"


def test_a_photo_is_no_placeholder() -> None:
    assert not is_placeholder(b"photo")


def test_a_short_page_is_no_placeholder() -> None:
    assert fetch_from(always(reply(b"x" * 93)), kind="page").reason == "ok"


def test_all_four_known_placeholders_are_listed() -> None:
    assert sorted(digest[:4] for digest in body_module.PLACEHOLDER_MD5) == [
        "5962",
        "880a",
        "969e",
        "af5d",
    ]

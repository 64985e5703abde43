import asyncio

import pytest

from pipelines.sources.http import Fetched, Fetcher, FetchPolicy, looks_fetchable, read_json
from schemas.errors import FetchError
from tests.unit.pipelines.http.stand_in import (
    Handler,
    StandIn,
    always,
    policy,
    reply,
    serve,
)


def fetch_accepting(
    handler: Handler,
    *statuses: int,
    times: int = 1,
    limits: FetchPolicy | None = None,
) -> tuple[Fetched | FetchError, StandIn]:
    async def play() -> tuple[Fetched | FetchError, StandIn]:
        last: Fetched | FetchError | None = None
        async with serve(handler) as server, Fetcher(limits or policy()) as fetcher:
            for _ in range(times):
                try:
                    last = await fetcher.fetch(server.url("/a"), kind="api", accept_status=statuses)
                except FetchError as error:
                    last = error
        assert last is not None
        return last, server

    return asyncio.run(play())


def reason(end: Fetched | FetchError) -> str:
    return end.reason if isinstance(end, FetchError) else "ok"


def test_an_accepted_error_comes_with_its_body_and_headers() -> None:
    answer = reply(b'{"error": 1}', "400 Bad Request", X_Usage="7")
    end, _ = fetch_accepting(always(answer), 400)
    assert isinstance(end, Fetched)
    assert (end.status, end.body, end.headers["x-usage"]) == (400, b'{"error": 1}', "7")


@pytest.mark.parametrize("status", [429, 503, 500])
def test_an_accepted_error_is_not_tried_again(status: int) -> None:
    answer = reply(b"", f"{status} No")
    end, server = fetch_accepting(always(answer), status, limits=policy(retries=3))
    assert reason(end) == "ok"
    assert len(server.requests) == 1


def test_an_error_that_is_not_accepted_is_raised() -> None:
    end, _ = fetch_accepting(always(reply(b"", "404 Not Found")), 400)
    assert reason(end) == "http-404"


@pytest.mark.parametrize("status", [206, 302, 304])
def test_only_errors_can_be_accepted(status: int) -> None:
    end, _ = fetch_accepting(always(reply(b"", f"{status} X")), status)
    assert isinstance(end, FetchError)


def test_a_host_that_asks_for_quiet_in_an_accepted_error_gets_it() -> None:
    storm = always(reply(b"", "429 Slow", Retry_After="60"))
    end, server = fetch_accepting(storm, 429, times=3)
    assert reason(end) == "throttled"
    assert len(server.requests) == 1


def test_the_body_of_an_accepted_error_is_limited() -> None:
    end, _ = fetch_accepting(always(reply(b"x" * 100, "400 No")), 400, limits=policy(max_bytes=99))
    assert reason(end) == "too-big"


# JSON


def answered(body: bytes) -> Fetched:
    return Fetched("http://e.test/a?…", 200, "application/json", 0.0, body, {})


@pytest.mark.parametrize("body", [b'{"a": [1]}', b'\xef\xbb\xbf{"a": [1]}'])
def test_json_is_read(body: bytes) -> None:
    assert read_json(answered(body)) == {"a": [1]}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff\xfe", b"[" * 100_000, b"9" * 5000, b'{"token": "S3CRET"']
)
def test_what_is_no_json_is_a_broken_answer_that_is_not_quoted(body: bytes) -> None:
    with pytest.raises(FetchError) as caught:
        read_json(answered(body))
    assert caught.value.reason == "broken-answer"
    assert "S3CRET" not in str(caught.value)


def test_json_that_would_fill_the_memory_is_not_parsed() -> None:
    with pytest.raises(FetchError) as caught:
        read_json(answered(b" " * (8 * 2**20 + 1)))
    assert caught.value.reason == "too-big"


@pytest.mark.parametrize("text", ["http://e.test", "HTTPS://e.test/a b?c=ñ", "http://me:x@e.test/"])
def test_a_web_address_looks_fetchable(text: str) -> None:
    assert looks_fetchable(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e.test",
        "//e.test",
        "ftp://e.test",
        "file:///etc/passwd",
        "data:,x",
        "http:///a",
        "http://e.test/\0",
        "http://e.test/\n",
        "http://e.test/\ud800",
        "http://e.test/" + "a" * 9000,
    ],
)
def test_anything_else_does_not(text: str) -> None:
    assert not looks_fetchable(text)

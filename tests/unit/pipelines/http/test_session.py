import asyncio
import logging
import socket
import traceback

import pytest

from pipelines.sources.http import Fetcher, ThrottledError
from pipelines.sources.http.resolver import Lookup
from pipelines.sources.http.session import _open_socket
from schemas.errors import FetchError
from tests.unit.pipelines.http.stand_in import (
    Handler,
    Request,
    StandIn,
    always,
    by_path,
    fetch_from,
    in_turn,
    policy,
    reply,
    serve,
    try_fetch,
)


def test_a_photo_comes_with_what_is_known_of_it() -> None:
    outcome = fetch_from(always(reply(b"photo", Content_Type="Image/JPEG; x=y", X_Usage="7")))
    assert outcome.answer is not None
    assert outcome.answer.body == b"photo"
    assert outcome.answer.status == 200
    assert outcome.answer.content_type == "image/jpeg"
    assert outcome.answer.headers["x-usage"] == "7"
    assert outcome.answer.final_url == outcome.server.url()


def test_a_web_page_with_status_200_is_left_to_those_who_decode() -> None:
    page = reply(b"<html>gone</html>", Content_Type="image/jpeg")
    assert fetch_from(always(page)).reason == "ok"


def test_connections_are_kept_alive() -> None:
    connections = set()

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        connections.add(writer.get_extra_info("peername"))
        # A refusal with a short body must not cost the connection.
        writer.write(reply(b"gone", "404 Not Found") if len(connections) < 3 else reply())

    fetch_from(handle, times=5)
    assert len(connections) == 1


def test_cookies_are_not_kept() -> None:
    outcome = fetch_from(always(reply(Set_Cookie="id=7; Path=/")), times=2)
    assert outcome.answer is not None
    assert "set-cookie" not in outcome.answer.headers
    assert "cookie" not in outcome.server.requests[1].headers


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert fetch_from(always(reply())).reason == "ok"


def test_many_fetches_keep_to_the_slots_of_their_host() -> None:
    present, most = 0, 0

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal present, most
        present += 1
        most = max(most, present)
        await asyncio.sleep(0.01)
        present -= 1
        writer.write(reply())

    async def play() -> None:
        async with serve(handle) as server, Fetcher(policy(per_host=2)) as fetcher:
            await asyncio.gather(*(fetcher.fetch(server.url(f"/{n}")) for n in range(12)))

    asyncio.run(play())
    assert most == 2


def test_waiting_for_a_turn_does_not_use_up_the_time_of_a_photo() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(reply())

    async def play() -> None:
        limits = policy(per_host=1, total_timeout_s=0.3)
        async with serve(handle) as server, Fetcher(limits) as fetcher:
            await asyncio.gather(*(fetcher.fetch(server.url(f"/{n}")) for n in range(12)))

    asyncio.run(play())


def test_statistics_tell_how_a_host_does() -> None:
    async def play() -> None:
        async with serve(always(reply())) as server, Fetcher(policy()) as fetcher:
            await fetcher.fetch(server.url())
            (host,) = fetcher.hosts().values()
        assert (host.answered, host.failed, host.active, host.waiting) == (1, 0, 0, 0)

    asyncio.run(play())


# Trying again


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "429 Slow", "503 Busy", "408 Late"])
def test_what_may_pass_is_tried_again(status: str) -> None:
    outcome = fetch_from(in_turn(reply(b"", status), reply()), limits=policy(retries=1))
    assert outcome.reason == "ok"
    assert len(outcome.server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 999])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    outcome = fetch_from(always(reply(b"", f"{status} No")), limits=policy(retries=3))
    assert outcome.reason == f"http-{status}"
    assert len(outcome.server.requests) == 1


def test_tries_are_numbered() -> None:
    outcome = fetch_from(always(reply(b"", "500 Oops")), limits=policy(retries=2))
    assert outcome.reason == "http-500"
    assert len(outcome.server.requests) == 3


def test_tries_end_with_the_total_deadline() -> None:
    limits = policy(retries=10**6, total_timeout_s=0.3, backoff_base_s=0.05, backoff_cap_s=0.05)
    outcome = fetch_from(always(reply(b"", "500 Oops")), limits=limits)
    assert outcome.reason in ("http-500", "timeout")
    assert outcome.elapsed_s < 2.0


def test_a_closed_port_is_refused_and_then_left_alone() -> None:
    async def play() -> tuple[list[str], str, list[str | None]]:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nowhere = StandIn(unused.getsockname()[1])
            async with Fetcher(policy(dead_after=2)) as fetcher:
                down = [fetcher.down(nowhere.url())]
                ends = [await try_fetch(fetcher, nowhere, nowhere.url()) for _ in range(3)]
                # Whoever wants to know more than the plainest addresses tell has to ask.
                hidden = nowhere.url().replace("http://", "http://user:word@")
                down += [fetcher.down(url) for url in (nowhere.url(), hidden, "nonsense")]
        return [end.reason for end in ends], str(ends[-1].error), down

    reasons, message, down = asyncio.run(play())
    assert reasons == ["refused"] * 3
    assert "left alone" in message
    assert down == [None, "refused", None, None]


# Throttling


def storm(**headers: str) -> Handler:
    return always(reply(b"", "429 Too Many Requests", **headers))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("60", 60.0), ("999999999999", 3600.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0)],
)
def test_a_long_retry_after_ends_the_fetch_at_once_and_is_passed_on(
    value: str, seconds: float
) -> None:
    outcome = fetch_from(storm(Retry_After=value), limits=policy(retries=5))
    assert isinstance(outcome.error, ThrottledError)
    assert outcome.reason == "throttled"
    assert outcome.error.retry_after_s == pytest.approx(seconds, abs=1.0)
    assert len(outcome.server.requests) == 1
    assert outcome.elapsed_s < 2.0


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "soon"}, {"Retry_After": "0"}])
def test_a_storm_without_a_time_is_given_up_after_the_tries(headers: dict[str, str]) -> None:
    outcome = fetch_from(storm(**headers), limits=policy(retries=3))
    assert outcome.reason == "throttled"
    assert len(outcome.server.requests) == 4


def test_a_retry_after_in_the_past_does_not_hinder_another_try() -> None:
    busy = reply(b"", "503 Busy", Retry_After="Thu, 01 Jan 1970 00:00:00 GMT")
    assert fetch_from(in_turn(busy, reply()), limits=policy(retries=1)).reason == "ok"


def test_a_host_that_asked_for_quiet_gets_no_other_request() -> None:
    outcome = fetch_from(storm(Retry_After="60"), times=5)
    assert outcome.reason == "throttled"
    assert len(outcome.server.requests) == 1


# Redirects


def moved(location: str, status: str = "302 Found") -> bytes:
    return reply(b"", status, Location=location)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_a_redirect_is_followed(status: str) -> None:
    pages = {"/photo.jpg": moved("there?x=1", status), "/there?x=1": reply(b"here")}
    outcome = fetch_from(by_path(pages))
    assert outcome.answer is not None
    assert outcome.answer.body == b"here"
    assert outcome.answer.final_url == outcome.server.url("/there?…")


def test_a_redirect_in_a_circle_is_left_when_it_closes() -> None:
    pages = {"/photo.jpg": moved("/b"), "/b": moved("/photo.jpg")}
    outcome = fetch_from(by_path(pages))
    assert outcome.reason == "too-many-redirects"
    assert len(outcome.server.requests) == 2


def test_more_hops_than_allowed_are_not_followed() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(moved(f"/{int(request.path[1:]) + 1}"))

    outcome = fetch_from(handle, "/0", limits=policy(max_redirects=20))
    assert outcome.reason == "too-many-redirects"
    assert len(outcome.server.requests) == 21


def test_a_redirect_to_nowhere_is_a_broken_answer() -> None:
    assert fetch_from(always(reply(b"", "302 Found"))).reason == "broken-answer"


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "//[",
        "http://1.2.3.4.5/",
    ],
)
def test_a_redirect_out_of_the_web_is_a_bad_url(location: str) -> None:
    assert fetch_from(always(moved(location))).reason == "bad-url"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "//192.168.0.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://0x0a.1/",
        "http://167772161/",
        "http://10.0.0.1./",
    ],
)
def test_a_redirect_off_the_public_internet_is_forbidden(location: str) -> None:
    assert fetch_from(always(moved(location))).reason == "forbidden-address"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0x7f.1", "2130706433", "127.1", "localhost", "localhost.", "[::1]"]
)
def test_this_machine_is_forbidden_unless_allowed(host: str) -> None:
    outcome = fetch_from(always(reply()), host=host, limits=policy(allow_loopback=False))
    assert outcome.reason == "forbidden-address"
    assert outcome.server.requests == []


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "localhost"])
def test_a_redirect_to_this_machine_by_another_name_needs_to_be_on_the_list(host: str) -> None:
    async def play() -> str:
        async with serve(always(reply())) as inner:
            async with serve(always(moved(f"http://{host}:{inner.port}/"))) as outer:
                limits = policy(allow_loopback={f"127.0.0.1:{outer.port}"})
                async with Fetcher(limits) as fetcher:
                    outcome = await try_fetch(fetcher, outer, outer.url())
            assert inner.requests == []
            return outcome.reason

    assert asyncio.run(play()) == "forbidden-address"


# Names


@pytest.mark.parametrize(
    "addresses",
    [
        ["8.8.8.8", "10.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "::1"],
        ["169.254.169.254"],
        ["::ffff:192.168.0.1"],
        ["fe80::1%2"],
    ],
)
def test_one_private_address_spoils_a_name(addresses: list[str]) -> None:
    async def lookup(host: str) -> list[str]:
        return addresses

    outcome = fetch_from(
        always(reply()), host="name.test", lookup=lookup, limits=policy(allow_loopback=False)
    )
    assert outcome.reason == "forbidden-address"


def rebinding(*answers: list[str]) -> tuple[list[str], Lookup]:
    asked: list[str] = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, lookup


def test_a_name_is_resolved_once_and_stays_where_it_was() -> None:
    asked, lookup = rebinding(["127.0.0.1"], ["10.0.0.1"])
    handler = always(reply(Connection="close"))
    outcome = fetch_from(handler, host="name.test", lookup=lookup, times=3)
    assert outcome.reason == "ok"
    assert asked == ["name.test"]


def test_a_name_that_moves_to_a_private_address_is_forbidden_from_then_on() -> None:
    asked, lookup = rebinding(["127.0.0.1"], ["10.0.0.1"])

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"", "302 Found", Location="/again", Connection="close"))
        writer.close()

    outcome = fetch_from(handle, host="name.test", lookup=lookup, limits=policy(dns_ttl_s=0))
    assert outcome.reason == "forbidden-address"
    assert asked == ["name.test", "name.test"]
    assert outcome.server.paths == ["/photo.jpg"]


def test_a_name_that_does_not_exist_is_asked_for_once() -> None:
    asked, lookup = rebinding([])
    outcome = fetch_from(always(reply()), host="gone.test", lookup=lookup, times=3)
    assert outcome.reason == "dns"
    assert asked == ["gone.test"]


def test_a_name_that_cannot_be_looked_up_now_is_tried_again() -> None:
    asked: list[str] = []

    async def lookup(host: str) -> list[str]:
        asked.append(host)
        if len(asked) == 1:
            raise OSError("no name server answers")
        return ["127.0.0.1"]

    outcome = fetch_from(always(reply()), host="name.test", lookup=lookup, limits=policy(retries=1))
    assert outcome.reason == "ok"


def test_the_socket_itself_is_judged_once_more() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
    with pytest.raises(PermissionError):
        _open_socket(policy(), info)


# Secrets


def test_user_and_password_go_to_their_own_host_only() -> None:
    async def play() -> tuple[StandIn, StandIn]:
        async with serve(always(reply())) as other:
            location = f"http://thief:x@127.0.0.1:{other.port}/"
            async with serve(always(moved(location))) as own, Fetcher(policy()) as fetcher:
                await fetcher.fetch(
                    f"http://me:secret@127.0.0.1:{own.port}/", headers={"X-Key": "secret"}
                )
            return own, other

    own, other = asyncio.run(play())
    assert own.requests[0].headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert own.requests[0].headers["x-key"] == "secret"
    assert "authorization" not in other.requests[0].headers
    assert "x-key" not in other.requests[0].headers


def test_headers_stay_with_a_redirect_on_the_same_host() -> None:
    async def play() -> StandIn:
        pages = {"/": moved("/b"), "/b": reply()}
        async with serve(by_path(pages)) as server, Fetcher(policy()) as fetcher:
            await fetcher.fetch(server.url("/"), headers={"X-Key": "secret"})
            return server

    assert asyncio.run(play()).requests[1].headers["x-key"] == "secret"


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", "404 Not Found"),
        reply(b"", "429 Slow"),
        reply(b"", "500 Oops"),
        reply(b"", "302 Found"),
        moved("http://me:S3CRET@10.0.0.1/?S3CRET"),
        moved("file://me:S3CRET@x/?S3CRET"),
        moved("/photo.jpg?token=S3CRET"),
        reply(b"cut", Content_Length="10"),
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_no_error_and_no_log_tells_a_secret(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async def play() -> FetchError:
        async with serve(handle) as server, Fetcher(policy()) as fetcher:
            url = f"http://me:S3CRET@127.0.0.1:{server.port}/photo.jpg?token=S3CRET#S3CRET"
            with pytest.raises(FetchError) as caught:
                await fetcher.fetch(url)
            return caught.value

    caplog.set_level(logging.DEBUG)
    error = asyncio.run(play())
    assert "S3CRET" not in "".join(traceback.format_exception(error))
    assert "S3CRET" not in caplog.text

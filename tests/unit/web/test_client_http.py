"""How the client behaves where the server is busy, slow, odd, or has nothing new to say."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from web.client import Afin, ApiError, BusyError, ServerError, UnreachableError

ME = {"name": "vera", "role": "viewer"}


@dataclass
class Script:
    """What a server answers, one after another, the last for ever; and what it was asked."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def say(self, status: int, document: Any = None, **headers: str) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body))

    def ask(self, **settings: Any) -> Any:
        with Afin(self.url, **settings) as afin:
            return afin.me()


@pytest.fixture
def script() -> Iterator[Script]:
    found = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.asked.append((self.command, self.path, dict(self.headers)))
            place = min(len(found.asked), len(found.answers)) - 1
            status, headers, body = found.answers[place]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have slept."""
    found: list[float] = []
    monkeypatch.setattr("web.client_http.time.sleep", found.append)
    return found


def test_a_busy_server_is_asked_again_when_it_says(script: Script, waits: list[float]) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    script.say(429, {"detail": "Too many"}, Retry_After="7")
    script.say(503, {"detail": "Not now"}, Retry_After=later)
    script.say(200, ME)
    assert script.ask(patience_s=100).name == "vera"
    assert waits[0] == 7
    assert 30 < waits[1] <= 40


def test_without_a_moment_the_client_waits_ever_longer(script: Script, waits: list[float]) -> None:
    for _turn in range(4):
        script.say(503, {"detail": "Not now"})
    script.say(200, ME)
    script.ask(patience_s=100)
    assert len(waits) == 4
    assert 0.3 < waits[0] < waits[2] < waits[3]


def test_patience_ends_with_what_the_server_said(script: Script, waits: list[float]) -> None:
    script.say(429, {"detail": "Too many events"}, Retry_After="3600")
    with pytest.raises(BusyError, match="Too many events") as caught:
        script.ask(patience_s=5)
    assert (waits, caught.value.retry_after_s) == ([], 3600)


def test_a_change_is_not_repeated_unasked(script: Script, waits: list[float]) -> None:
    script.say(503, {"detail": "No worker answers"})
    with Afin(script.url) as afin, pytest.raises(BusyError, match="No worker"):
        afin.classify("ana")
    assert (len(script.asked), waits) == (1, [])


def test_what_did_not_change_is_not_read_again(script: Script) -> None:
    script.say(200, ME, ETag='"one"')
    script.say(304, ETag='"one"')
    script.say(200, {**ME, "name": "otra"}, ETag='"two"')
    with Afin(script.url) as afin:
        names = [afin.me().name for _turn in range(3)]
    assert names == ["vera", "vera", "otra"]
    tags = [headers.get("If-None-Match") for _verb, _path, headers in script.asked]
    assert tags == [None, '"one"', '"one"']


def test_a_packed_answer_is_unpacked(script: Script) -> None:
    packed = gzip.compress(json.dumps(ME).encode())
    script.answers.append((200, {"Content-Encoding": "gzip"}, packed))
    assert script.ask().name == "vera"
    assert script.asked[0][2]["Accept-Encoding"] == "gzip"


def test_a_newer_server_may_say_more(script: Script) -> None:
    script.say(200, {**ME, "since": "2030-01-01"})
    assert script.ask().name == "vera"


def test_the_token_is_sent_and_the_base_path_kept(script: Script) -> None:
    script.say(200, ME)
    with Afin(script.url + "/afin/", token="afin_x") as afin:
        afin.me()
    ((_verb, path, headers),) = script.asked
    assert (path, headers["Authorization"]) == ("/afin/api/v1/me", "Bearer afin_x")


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (500, b"<h1>Oops</h1>", ServerError, "Oops"),
        (502, b"", ServerError, "502"),
        (418, b'{"title": "Teapot"}', ApiError, "Teapot"),
        (404, b"[1]", ApiError, "404"),
    ],
)
def test_what_stands_in_front_of_the_server_may_say_anything(
    script: Script, status: int, body: bytes, kind: type[ApiError], said: str
) -> None:
    script.answers.append((status, {}, body))
    with pytest.raises(kind, match=said) as caught:
        script.ask()
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"<html>"), ({"Content-Encoding": "gzip"}, b"not packed"), ({}, b"")],
)
def test_an_answer_that_is_none_is_told(
    script: Script, headers: dict[str, str], body: bytes
) -> None:
    script.answers.append((200, headers, body))
    with pytest.raises(UnreachableError):
        script.ask()


def test_a_redirect_is_not_followed_with_our_token(script: Script) -> None:
    script.say(302, Location="https://elsewhere.example/sign-in")
    with pytest.raises(UnreachableError, match=r"elsewhere\.example"):
        script.ask(token="afin_x")
    assert len(script.asked) == 1


def test_an_answer_that_does_not_come_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            Afin(f"http://127.0.0.1:{port}", timeout_s=0.05) as afin,
            pytest.raises(UnreachableError, match="does not answer"),
        ):
            afin.me()

"""A scripted server on loopback that answers byte by byte what a test tells it to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pipelines.sources.http import Fetched, Fetcher, FetchPolicy, Kind
from pipelines.sources.http.resolver import Lookup
from schemas.errors import FetchError


@dataclass
class Request:
    """One request as it came in."""

    path: str
    headers: dict[str, str]


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class StandIn:
    """A running server and what it was asked."""

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def url(self, path: str = "/photo.jpg") -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@dataclass
class Outcome:
    """How one fetch ended."""

    server: StandIn
    elapsed_s: float
    answer: Fetched | None = None
    error: FetchError | None = None

    @property
    def reason(self) -> str:
        return self.error.reason if self.error else "ok"


def policy(**changes: object) -> FetchPolicy:
    """Impatient limits for tests, with this machine allowed."""
    quick: dict[str, object] = {
        "allow_loopback": True,
        "honour_robots": False,
        "total_timeout_s": 5.0,
        "retries": 0,
        "backoff_base_s": 0.0,
        "min_rate_grace_s": 0.2,
    }
    return FetchPolicy.model_validate(quick | changes)


def reply(body: bytes = b"photo", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; header names are written with _ for -."""
    fields = {"Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def always(answer: bytes) -> Handler:
    """A server that says the same to everybody."""

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return handle


def in_turn(*answers: bytes) -> Handler:
    """A server that says one thing after another, the last for ever."""
    left = list(answers)

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return handle


def by_path(answers: dict[str, bytes]) -> Handler:
    """A server with several pages."""

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.get(request.path, reply(b"", "404 Not Found")))

    return handle


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[StandIn]:
    """Run a server on a free port of loopback until the block ends."""
    talks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(_talk(handler, stand_in, reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    stand_in = StandIn(server.sockets[0].getsockname()[1])
    try:
        yield stand_in
    finally:
        server.close()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def _talk(
    handler: Handler, stand_in: StandIn, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                pairs = (line.partition(":") for line in lines if line)
                request = Request(
                    first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs}
                )
                stand_in.requests.append(request)
                await handler(request, writer)
                await writer.drain()
        finally:
            writer.close()


async def try_fetch(fetcher: Fetcher, server: StandIn, url: str, kind: Kind = "photo") -> Outcome:
    """Fetch and keep whichever way it ended."""
    started = time.monotonic()
    try:
        answer = await fetcher.fetch(url, kind=kind)
    except FetchError as error:
        return Outcome(server, time.monotonic() - started, error=error)
    return Outcome(server, time.monotonic() - started, answer=answer)


def fetch_from(
    handler: Handler,
    path: str = "/photo.jpg",
    *,
    times: int = 1,
    kind: Kind = "photo",
    limits: FetchPolicy | None = None,
    lookup: Lookup | None = None,
    host: str = "127.0.0.1",
) -> Outcome:
    """Start the server, fetch ``path`` from it ``times`` times, and tell how the last one ended."""

    async def play() -> Outcome:
        async with serve(handler) as server, Fetcher(limits or policy(), lookup=lookup) as fetcher:
            url = f"http://{host}:{server.port}{path}"
            outcomes = [await try_fetch(fetcher, server, url, kind) for _ in range(times)]
            return outcomes[-1]

    return asyncio.run(play())

"""An application that takes events, asked in this process over a real socket on loopback."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from kombu.transport.memory import Channel

from pipelines.webhooks import parse_secrets, sign_headers
from schemas.events import EventStatus
from storage.inbox import list_events
from tasks.context import Context, context
from tests.adopted import adopted
from web.events import event_routes

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
TOKEN = "sesame"

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    """This process's context on an empty SQLite store, with two senders."""
    with adopted(
        {
            "AFIN_DATA_DIR": str(tmp_path / "data"),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
            "AFIN_EVENT_SECRETS": f"{SECRET} agency={OTHER}",
            "AFIN_EVENT_TOKENS": TOKEN,
        }
    ):
        yield context()
        Channel.queues.clear()


@dataclass(frozen=True)
class Reply:
    """An answer, read whole."""

    status: int
    document: Any
    headers: dict[str, str]


def signed(body: bytes, *, webhook_id: str = "evt_1", secret: str = SECRET) -> dict[str, str]:
    """The headers of a webhook that is signed now."""
    (keys,) = parse_secrets(secret).values()
    return sign_headers(keys, webhook_id, int(time.time()), body)


def visit(resources: Context, play: Callable[[Client], Awaitable[Any]]) -> Any:
    """Serve events while ``play`` asks for what it wants."""

    async def run() -> Any:
        app = web.Application()
        app.add_routes(event_routes(resources))
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            return await play(client)

    return asyncio.run(run())


def post(
    resources: Context,
    document: object,
    *,
    headers: dict[str, str] | None = None,
    webhook_id: str = "evt_1",
    secret: str = SECRET,
) -> Reply:
    """Post one event, signed unless headers say otherwise."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = signed(body, webhook_id=webhook_id, secret=secret) | (headers or {})

    async def play(client: Client) -> Reply:
        async with client.post("/events", data=body, headers=sent) as answer:
            return Reply(answer.status, await answer.json(), dict(answer.headers))

    reply: Reply = visit(resources, play)
    return reply


def get(resources: Context, path: str, headers: dict[str, str] | None = None) -> Reply:
    """Ask for something."""

    async def play(client: Client) -> Reply:
        async with client.get(path, headers=headers or {}) as answer:
            return Reply(answer.status, await answer.json(), dict(answer.headers))

    reply: Reply = visit(resources, play)
    return reply


def kept(resources: Context) -> list[EventStatus]:
    """Every event in the inbox, newest first."""
    with resources.database.read() as connection:
        return list_events(connection)

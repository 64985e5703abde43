"""A sandbox for tests: small and well-behaved, on a clock that tests can turn."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from yarl import URL

from pipelines.sources.sandbox import Sandbox, SandboxContent, SandboxPlan

SMALL = SandboxContent(photos_per_term=65, urls_per_synset=12, posts_per_tag=30, accounts=6)
WELL_BEHAVED = SandboxPlan(misbehaviours={})
NOON = 1_770_379_200.0


@dataclass
class TurnableClock:
    """A clock that only tests move."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture
def clock() -> TurnableClock:
    """The clock of the sandbox."""
    return TurnableClock()


@pytest.fixture
def sandbox(clock: TurnableClock) -> Iterator[Sandbox]:
    """A running sandbox in which nothing goes wrong until a test has it so."""
    with Sandbox(SMALL, WELL_BEHAVED, clock=clock) as running:
        yield running


def ask(url: str, headers: Mapping[str, str] | None = None, *, timeout_s: float = 10.0) -> Reply:
    """Ask once, without following redirects; a header with an empty value is left out."""
    return ask_all([url], headers, timeout_s=timeout_s)[0]


def ask_all(
    urls: list[str], headers: Mapping[str, str] | None = None, *, timeout_s: float = 10.0
) -> list[Reply]:
    """Ask one after another."""
    sent = {name: value for name, value in (headers or {}).items() if value}
    left_out = [name for name, value in (headers or {}).items() if not value]

    async def play() -> list[Reply]:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(
            timeout=timeout, auto_decompress=False, skip_auto_headers=left_out
        ) as session:
            return [await _get(session, url, sent) for url in urls]

    return asyncio.run(play())


async def _get(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> Reply:
    async with session.get(URL(url), headers=headers, allow_redirects=False) as response:
        return Reply(response.status, response.headers, await response.read())

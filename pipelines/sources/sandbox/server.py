"""The sandbox itself: six servers on loopback in one thread, with a front desk and a trap."""

import asyncio
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from pipelines.sources.samples.accounts import PlannedAccount
from pipelines.sources.sandbox.cdn import photo_routes
from pipelines.sources.sandbox.gate import build_app
from pipelines.sources.sandbox.imagenet import imagenet_routes, write_files
from pipelines.sources.sandbox.instagram import GraphApi, instagram_misbehaviours
from pipelines.sources.sandbox.ledger import Ledger
from pipelines.sources.sandbox.misbehaviours import PHOTO_SERVERS, Misbehaviour, Server
from pipelines.sources.sandbox.pexels_pages import challenge, pexels_routes
from pipelines.sources.sandbox.plan import (
    INSTAGRAM_TOKEN,
    INSTAGRAM_USER_ID,
    PEXELS_KEY,
    SandboxContent,
    SandboxPlan,
)
from pipelines.sources.sandbox.world import Clock, World
from schemas.errors import UsageError

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
STARTING_S = 60.0
# Handlers that hang on purpose are cancelled; there is nothing to wait for.
SHUTDOWN_S = 0.1


class Sandbox:
    """Local stand-ins of ImageNet, Pexels and Instagram, each on a port of its own.

    Example:
        >>> with Sandbox() as sandbox:  # doctest: +SKIP
        ...     sandbox.misbehave(Server.PEXELS, {Misbehaviour.THROTTLE: 0.5})
        ...     sandbox.ledger.count(Server.PEXELS_PHOTOS, "photo")
    """

    def __init__(
        self,
        content: SandboxContent | None = None,
        plan: SandboxPlan | None = None,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        clock: Clock = time.time,
    ) -> None:
        """Take the ports; with ``port``, that one is the desk's and the next ones follow.

        Raises:
            UsageError: another host than loopback, a port that is taken, a folder without photos.
        """
        if host != LOOPBACK:
            raise UsageError(f"The sandbox serves {LOOPBACK} only: it is no server for others.")
        self._sockets = _take_ports(len(Server) + 3, port)
        desk, trap, dead, *servers = (_name_base(taken) for taken in self._sockets)
        self.url = desk
        self._trap_hits = 0
        try:
            self._world = World(
                content=content or SandboxContent(),
                plan=plan or SandboxPlan(),
                clock=clock,
                bases=dict(zip(Server, servers, strict=True)),
                dead_base=dead,
                trap_base=trap,
            )
        except UsageError:
            self._close_sockets()
            raise
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._runners: list[web.AppRunner] = []

    # Where things are

    def base(self, server: Server) -> str:
        """The address of one server, without a final slash."""
        return self._world.bases[server]

    @property
    def servers(self) -> dict[str, str]:
        """The address of every server, by its name."""
        return {server.value: base for server, base in self._world.bases.items()}

    @property
    def imagenet_url(self) -> str:
        """The API is below ``/api/text/``, the files below ``/archive/``."""
        return self.base(Server.IMAGENET)

    @property
    def pexels_url(self) -> str:
        """The API is ``/v1/search``, the pages are ``/search/<term>/``."""
        return self.base(Server.PEXELS)

    @property
    def instagram_url(self) -> str:
        """The Graph API, with or without a version as the first part of the path."""
        return self.base(Server.INSTAGRAM)

    @property
    def loopback_hosts(self) -> frozenset[str]:
        """The ``host:port`` of every server that may be asked: an allow-list for a fetcher.

        The dead host is among them, so that it is refused by itself; the trap is not.
        """
        bases = (*self._world.bases.values(), self._world.dead_base)
        return frozenset(base.removeprefix("http://") for base in bases)

    def environment(self) -> dict[str, str]:
        """The environment variables that lead afin's crawlers here."""
        return {
            "AFIN_FETCH_ALLOW_LOOPBACK": ",".join(sorted(self.loopback_hosts)),
            "AFIN_IMAGENET_URL": self.imagenet_url,
            "AFIN_PEXELS_URL": self.pexels_url,
            "AFIN_PEXELS_SITE": self.pexels_url,
            "AFIN_PEXELS_KEY": PEXELS_KEY,
            "AFIN_INSTAGRAM_URL": self.instagram_url,
            "AFIN_INSTAGRAM_TOKEN": INSTAGRAM_TOKEN,
            "AFIN_INSTAGRAM_USER_ID": INSTAGRAM_USER_ID,
        }

    def describe(self) -> dict[str, object]:
        """What lives where, as the desk and ``afin sandbox --json`` tell it."""
        return {
            "url": self.url,
            "servers": self.servers,
            "environment": self.environment(),
            "accounts": [account.username for account in self.accounts],
        }

    # What it holds and does

    @property
    def accounts(self) -> tuple[PlannedAccount, ...]:
        """The influencers that business discovery finds, and what they are about."""
        return self._world.accounts

    @property
    def plan(self) -> SandboxPlan:
        """How the servers behave now; assign another to change it."""
        return self._world.plan

    @plan.setter
    def plan(self, plan: SandboxPlan) -> None:
        self._world.plan = plan

    def misbehave(self, server: Server, shares: Mapping[Misbehaviour, float] | None = None) -> None:
        """Let one server do just these things wrong, or nothing at all.

        Raises:
            UsageError: the server cannot do that, or not that often.
        """
        self.plan = self.plan.misbehave(server, shares or {})

    @property
    def ledger(self) -> Ledger:
        """What was asked and answered."""
        return self._world.ledger

    @property
    def trap_hits(self) -> int:
        """How often somebody was led to a port that is on no allow-list."""
        return self._trap_hits

    def write_files(self, folder: Path) -> list[Path]:
        """Write ImageNet's words.txt, wordnet.is_a.txt and fall11_urls.txt into a folder."""
        return write_files(self._world, folder)

    # Starting and stopping

    def start(self) -> Self:
        """Serve from a thread of its own until ``stop``."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(STARTING_S)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close every connection and port; a second time does nothing."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(STARTING_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._close_sockets()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    async def _open(self) -> None:
        desk, trap, _dead, *servers = self._sockets
        for taken, app in zip([desk, trap, *servers], self._build_apps(), strict=True):
            runner = web.AppRunner(
                app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
            )
            self._runners.append(runner)
            await runner.setup()
            await web.SockSite(runner, taken, backlog=BACKLOG).start()

    async def _close(self) -> None:
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        await self._loop.shutdown_default_executor()

    def _build_apps(self) -> list[web.Application]:
        world = self._world
        trap, desk = web.Application(), web.Application()
        trap.router.add_route("*", "/{path:.*}", self._catch)
        desk.router.add_get("/", self._tell)
        desk.router.add_get("/counts", self._tell_counts)
        photos = {
            server: build_app(world, server, photo_routes(world, server))
            for server in PHOTO_SERVERS
        }
        apps = {
            **photos,
            Server.IMAGENET: build_app(world, Server.IMAGENET, imagenet_routes(world)),
            Server.PEXELS: build_app(
                world, Server.PEXELS, pexels_routes(world), {Misbehaviour.CHALLENGE: challenge}
            ),
            Server.INSTAGRAM: build_app(
                world,
                Server.INSTAGRAM,
                GraphApi(world).routes(),
                instagram_misbehaviours(world),
            ),
        }
        return [desk, trap, *(apps[server] for server in Server)]

    async def _tell(self, _request: web.Request) -> web.Response:
        return web.json_response(self.describe())

    async def _tell_counts(self, _request: web.Request) -> web.Response:
        return web.json_response(self.ledger.counts())

    async def _catch(self, _request: web.Request) -> web.Response:
        self._trap_hits += 1
        return web.Response(text="You should not have come here.\n")

    def _close_sockets(self) -> None:
        for taken in self._sockets:
            taken.close()


def _take_ports(count: int, first: int) -> list[socket.socket]:
    """Bind ports of loopback; nobody listens on them yet, so connections are refused."""
    taken: list[socket.socket] = []
    for number in range(count):
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.append(opened)
        try:
            opened.bind((LOOPBACK, first + number if first else 0))
        except (OSError, OverflowError):
            for one in taken:
                one.close()
            raise UsageError(
                f"Port {first + number} is taken or cannot be had: name another --port, the first "
                f"of {count} free ones, or 0 for any."
            ) from None
    return taken


def _name_base(taken: socket.socket) -> str:
    return f"http://{LOOPBACK}:{taken.getsockname()[1]}"

"""The guarded fetcher: one pooled session, redirects by hand, every hop judged before asking."""

import asyncio
import base64
import contextlib
import errno
import functools
import itertools
import logging
import math
import socket
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from yarl import URL

from pipelines.sources.http import addresses, robots
from pipelines.sources.http.addresses import redact
from pipelines.sources.http.answers import Fetched, keep_answer
from pipelines.sources.http.body import is_placeholder, read_body
from pipelines.sources.http.failures import PassingError, ThrottledError, explain, refusal
from pipelines.sources.http.hosts import STALLED_S, UNREACHED, HostGate, HostGates, HostStats
from pipelines.sources.http.policy import FetchPolicy
from pipelines.sources.http.resolver import GuardedResolver, Lookup
from pipelines.sources.http.retry import Clock, choose_delay, parse_retry_after
from schemas.errors import FetchError

logger = logging.getLogger(__name__)

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SUCCESS = range(200, 300)
ERRORS = range(400, 600)
PARTIAL = 206
# A short body of a redirect or an error is read, so that its connection can be used again.
DRAINED_BYTES = 16 * 1024
DRAIN_S = 0.5
KEEPALIVE_S = 15.0

Kind = Literal["photo", "page", "api"]
Heard = Callable[[int], None]


class Fetcher:
    """Fetches from strangers' servers within a ``FetchPolicy``; one per process, shared by all.

    Example:
        >>> async with Fetcher(FetchPolicy()) as fetcher:  # doctest: +SKIP
        ...     photo = await fetcher.fetch("https://example.org/photo.jpg")
    """

    def __init__(self, policy: FetchPolicy, *, lookup: Lookup | None = None) -> None:
        self.policy = policy
        self._lookup = lookup
        self._gates = HostGates(policy)
        self._robots = robots.RobotsCache()
        self._robot = robots.robot_token(policy.user_agent)
        self._resolver: GuardedResolver | None = None
        self._session: aiohttp.ClientSession | None = None
        self._going_on = asyncio.Event()
        self._going_on.set()

    async def __aenter__(self) -> Self:
        """Open the session in the running loop."""
        if not self.policy.honour_robots:
            logger.warning("robots.txt and X-Robots-Tag are ignored, as the settings say.")
        self._resolver = GuardedResolver(self.policy, self._lookup)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,  # the resolver has its own, which remembers dead names too
                limit=0,  # the gates limit, and tell hosts apart
                keepalive_timeout=KEEPALIVE_S,
                socket_factory=functools.partial(_open_socket, self.policy),
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=self.policy.connect_timeout_s),
            # Photos are packed already; what comes packed all the same is unpacked with a limit.
            headers={"User-Agent": self.policy.user_agent, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._robots.close()
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def fetch(
        self,
        url: str,
        *,
        kind: Kind = "photo",
        headers: Mapping[str, str] | None = None,
        accept_status: Collection[int] = (),
    ) -> Fetched:
        """Fetch one address, trying again where that may help.

        A ``photo`` must be no known placeholder and not be withheld from us by X-Robots-Tag; a
        ``page`` is only held against robots.txt, an ``api`` against neither. ``headers``, like
        the user and password in a URL, are sent to the origin of ``url`` and to no other.
        An error whose status is in ``accept_status`` is handed over with its body instead of
        raised, and not tried again: some sources say only there what is wrong.

        Raises:
            FetchError: ``bad-url``, ``forbidden-address``, ``dns``, ``refused``, ``tls``,
                ``timeout``, ``too-slow``, ``too-big``, ``too-many-redirects``, ``http-<status>``,
                ``broken-answer``, ``bad-encoding``, ``placeholder``, ``robots`` or ``noai``.
            ThrottledError: ``throttled``; it says when to ask again, if the host did.
        """
        target, credentials = addresses.split_credentials(addresses.parse_url(url))
        sent = dict(headers or {})
        if credentials is not None:
            sent.setdefault("Authorization", _basic(*credentials))
        clock = Clock(self.policy.total_timeout_s)
        for tries in itertools.count(1):
            try:
                return await self._follow(target, sent, clock, kind, accept_status)
            except PassingError as error:
                delay_s = choose_delay(
                    tries,
                    error,
                    base_s=self.policy.backoff_base_s,
                    cap_s=self.policy.backoff_cap_s,
                )
                if tries > self.policy.retries or delay_s >= clock.left_s:
                    raise
            await clock.wait(delay_s)
        raise AssertionError("itertools.count never ends")

    def down(self, url: str) -> str | None:
        """The reason with which ``fetch`` would fail at once, as the host of ``url`` is down.

        A quick look: None where ``fetch`` would ask, and where only ``fetch`` can tell.
        """
        host = addresses.plain_host(url)
        return self._gates.down(host) if host else None

    def hold(self) -> None:
        """Begin no further request: whoever asked has enough to do with what came already."""
        self._going_on.clear()

    def go_on(self) -> None:
        """Begin requests again after ``hold``."""
        self._going_on.set()

    def hosts(self) -> dict[str, HostStats]:
        """How the hosts asked lately do, by ``host`` or ``host:port``."""
        return self._gates.stats()

    async def _follow(
        self,
        url: URL,
        headers: Mapping[str, str],
        clock: Clock,
        kind: Kind | Literal["robots"],
        accept: Collection[int] = (),
    ) -> Fetched:
        """One try: from hop to hop until something is there."""
        seen = {url}
        for _ in range(self.policy.max_redirects + 1):
            if kind in ("photo", "page"):
                await self._ask_robots(url)
            answer = await self._hop(url, headers, clock, kind, accept)
            if isinstance(answer, Fetched):
                return answer
            if answer.origin() != url.origin():
                headers = {}
            if answer.scheme < url.scheme:
                # Allowed: what a photo is gets decided by decoding it, and no secret goes along.
                logger.debug("%s leads from https to http.", redact(str(url)))
            if answer in seen:
                raise FetchError("too-many-redirects", f"{redact(str(url))} leads in a circle.")
            seen.add(answer)
            url = answer
        raise FetchError(
            "too-many-redirects",
            f"More than {self.policy.max_redirects} redirects on the way to {redact(str(url))}.",
        )

    async def _hop(
        self, url: URL, headers: Mapping[str, str], clock: Clock, kind: str, accept: Collection[int]
    ) -> Fetched | URL:
        host, port = str(url.raw_host), url.port or 0
        if addresses.is_literal(host) and not addresses.may_ask(
            host, host, port, self.policy.allow_loopback
        ):
            raise addresses.forbidden(host)
        slot = self._gates.slot(url)
        async with slot as gate:
            # Slots are kept meanwhile, and time stands still: nothing piles up behind them.
            if not self._going_on.is_set():
                await self._going_on.wait()
            first_s = self.policy.headers_timeout_s
            probes = gate.check()
            if probes:
                # Enough to find out whether it is back.
                first_s = min(first_s, self.policy.connect_timeout_s)
            started = time.monotonic()
            try:
                with clock.running(first_s, stalled=(STALLED_S, slot.stall)):
                    answer = await self._ask(url, headers, kind, gate, clock, accept)
            except (FetchError, aiohttp.ClientError, OSError) as error:
                failure = explain(error, redact(str(url)), clock.cause)
                gate.record(failure, started)
                raise failure from None
            except BaseException:
                if probes:
                    gate.give_up()
                raise
            gate.record(self._hidden_failure(answer), started)
            return answer

    async def _ask(
        self,
        url: URL,
        headers: Mapping[str, str],
        kind: str,
        gate: HostGate,
        clock: Clock,
        accept: Collection[int],
    ) -> Fetched | URL:
        if self._session is None:
            raise RuntimeError("Use the fetcher inside `async with`.")
        started = time.monotonic()
        if not self._gates.keeps_alive(gate):
            headers = {**headers, "Connection": "close"}
        response = await self._session.get(url, headers=headers or None, allow_redirects=False)
        heard = functools.partial(self._keep_pace, clock, asyncio.get_running_loop().time())
        name = redact(str(url))
        async with response:
            wanted = response.status in SUCCESS and response.status != PARTIAL
            if wanted or (response.status in accept and response.status in ERRORS):
                body = await self._read(response, kind, name, heard)
                return keep_answer(response, body, name, time.monotonic() - started)
            await self._drain(response, name)
            return self._turn_away(response, url, name)

    async def _read(
        self, response: aiohttp.ClientResponse, kind: str, name: str, heard: Heard
    ) -> bytes:
        if kind == "robots":
            return await read_body(
                response, name, limit=robots.MAX_ROBOTS_BYTES, cut=True, heard=heard
            )
        if kind == "photo" and self.policy.honour_robots:
            tags = response.headers.getall("X-Robots-Tag", [])
            if robots.refuses_ai(tags, self._robot):
                raise FetchError("noai", f"{name} is withheld from machine learning by its host.")
        body = await read_body(response, name, limit=self.policy.max_bytes, heard=heard)
        if kind == "photo" and is_placeholder(body):
            raise FetchError("placeholder", f"{name} serves a stand-in: the photo is gone.")
        return body

    def _keep_pace(self, clock: Clock, started: float, received: int) -> None:
        """Move the end to when the next byte is due at the minimum rate."""
        rate = self.policy.min_rate_bytes_s
        grace_s = self.policy.min_rate_grace_s
        due = started + grace_s + received / rate if rate > 0 else math.inf
        clock.end_at(due, "too-slow")

    async def _drain(self, response: aiohttp.ClientResponse, name: str) -> None:
        if response.content.is_eof():
            return
        if response.content_length is None or response.content_length > DRAINED_BYTES:
            return
        with contextlib.suppress(FetchError, aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await read_body(response, name, limit=DRAINED_BYTES, heard=lambda _: None)

    def _turn_away(self, response: aiohttp.ClientResponse, url: URL, name: str) -> URL:
        if response.status in REDIRECTS:
            location = response.headers.get("Location", "").strip()
            if not location:
                raise FetchError("broken-answer", f"{name} redirects to nowhere.")
            return addresses.join_url(url, location)
        if response.status == PARTIAL:
            raise FetchError("broken-answer", f"{name} sent a part although all was asked for.")
        raise self._refuse(response.status, name, response.headers.get("Retry-After"))

    def _hidden_failure(self, answer: Fetched | URL) -> FetchError | None:
        """What the gate learns from an error that is handed over: to be as polite as ever."""
        if isinstance(answer, URL) or answer.status in SUCCESS:
            return None
        return self._refuse(answer.status, answer.final_url, answer.headers.get("retry-after"))

    def _refuse(self, status: int, name: str, retry_after: str | None) -> FetchError:
        now, cap_s = datetime.now(UTC), self.policy.retry_after_cap_s
        return refusal(status, name, parse_retry_after(retry_after, now=now, cap_s=cap_s))

    async def _ask_robots(self, url: URL) -> None:
        """Hold an address against its host's robots.txt.

        Raises:
            FetchError: ``robots``.
        """
        if not self.policy.honour_robots:
            return
        name = f"{url.scheme}://{url.host_port_subcomponent}"
        rules = self._robots.known(name)
        if rules is None:
            origin = url.origin()
            rules = await self._robots.rules(name, lambda: self._load_robots(origin))
        if not rules.allow(url.raw_path_qs):
            raise FetchError("robots", f"{redact(str(url))} is barred by its host's robots.txt.")

    async def _load_robots(self, origin: URL) -> tuple[robots.Rules, float]:
        """The rules of an origin and how long they hold (RFC 9309 §2.3.1 and §2.4).

        An origin in trouble bars everything for a while; where there is no file, or no server at
        all, nothing is barred (asking for the photo will tell, unless nothing was ever heard of
        its host: that one is left alone for a while).
        """
        clock = Clock(min(self.policy.total_timeout_s, self.policy.headers_timeout_s))
        try:
            answer = await self._follow(origin / "robots.txt", {}, clock, "robots")
        except FetchError as error:
            if isinstance(error, ThrottledError) or error.reason.startswith("http-5"):
                return robots.DENY_ALL, robots.TROUBLE_S
            found_nothing = error.reason.startswith("http-4")
            if error.reason in UNREACHED:
                self._gates.gate(origin).bury(error.reason)
            return robots.ALLOW_ALL, robots.FRESH_S if found_nothing else robots.UNREACHABLE_S
        text = answer.body.decode("utf-8", "replace")
        return robots.parse_robots(text, self._robot), robots.FRESH_S


def _open_socket(policy: FetchPolicy, info: tuple[Any, ...]) -> socket.socket:
    """Open the socket of every connection: the last place where an address is judged."""
    family, kind, proto, _, (address, port, *_rest) = info
    if not addresses.may_ask(address, "", port, bool(policy.allow_loopback)):
        raise PermissionError(errno.EACCES, "an address that is not on the public internet")
    return socket.socket(family=family, type=kind, proto=proto)


def _basic(user: str, password: str) -> str:
    """The Authorization header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

"""Posting to a receiver by the guarded fetcher's rules: judged addresses, no redirects, limits."""

import functools
import socket
from collections.abc import Mapping
from datetime import UTC, datetime

import aiohttp

from pipelines.sources.http import addresses
from pipelines.sources.http.addresses import redact
from pipelines.sources.http.failures import explain
from pipelines.sources.http.policy import FetchPolicy
from pipelines.sources.http.resolver import GuardedResolver, Lookup
from pipelines.sources.http.retry import parse_retry_after
from pipelines.sources.http.session import _basic, _open_socket
from schemas.base import Frozen

READ_BYTES = 16 * 1024
"""More of an answer is not read: only its status counts."""


class Posted(Frozen):
    """How a receiver answered; ``retry_after_s`` is its own word on when to come back."""

    status: int
    retry_after_s: float | None = None


class Sender:
    """Posts to receivers that our settings name; use it inside ``async with``.

    ``allow_private`` lets receivers be on this machine or in a private network.
    """

    def __init__(
        self, policy: FetchPolicy, *, allow_private: bool = False, lookup: Lookup | None = None
    ) -> None:
        self._policy = policy
        self._private = allow_private
        self._lookup = lookup
        self._resolver: GuardedResolver | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Sender":
        """Open the session in the running loop."""
        if not self._private:
            self._resolver = GuardedResolver(self._policy, self._lookup)
        opening = None if self._private else functools.partial(_open_socket, self._policy)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                limit=self._policy.concurrency,
                limit_per_host=self._policy.per_host,
                family=socket.AF_UNSPEC,
                socket_factory=opening,
            ),
            timeout=aiohttp.ClientTimeout(
                total=self._policy.total_timeout_s, connect=self._policy.connect_timeout_s
            ),
            headers={"User-Agent": self._policy.user_agent, "Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
        """Post once; a redirect is an answer like any other and is not followed.

        Raises:
            FetchError: no answer came; reasons as in ``Fetcher.fetch``.
        """
        if self._session is None:
            raise RuntimeError("Use the sender inside `async with`.")
        target, credentials = addresses.split_credentials(addresses.parse_url(url))
        sent = dict(headers)
        if credentials is not None:
            sent.setdefault("Authorization", _basic(*credentials))
        host, port = str(target.raw_host), target.port or 0
        allowed = self._private or not addresses.is_literal(host)
        if not allowed and not addresses.may_ask(host, host, port, self._policy.allow_loopback):
            raise addresses.forbidden(host)
        try:
            async with self._session.post(
                target, data=body, headers=sent, allow_redirects=False
            ) as answer:
                await answer.content.read(READ_BYTES)
                wait = parse_retry_after(
                    answer.headers.get("Retry-After"),
                    now=datetime.now(UTC),
                    cap_s=self._policy.retry_after_cap_s,
                )
                return Posted(status=answer.status, retry_after_s=wait)
        except (aiohttp.ClientError, OSError) as error:
            raise explain(error, redact(str(target)), "timeout") from None

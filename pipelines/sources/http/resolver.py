"""Names resolved once, judged, and connected to as resolved, so that rebinding changes nothing."""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult

from pipelines.sources.http.addresses import forbidden, may_ask
from pipelines.sources.http.failures import PassingError
from pipelines.sources.http.policy import FetchPolicy
from schemas.errors import FetchError

# A name whose servers don't answer holds its thread for seconds; these keep the others moving.
LOOKUP_THREADS = 32
MAX_NAMES = 16_384

Lookup = Callable[[str], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class _Known:
    addresses: tuple[str, ...]
    until: float


class GuardedResolver(AbstractResolver):
    """Resolves for aiohttp's connector, which connects to exactly what it is handed here."""

    def __init__(self, policy: FetchPolicy, lookup: Lookup | None = None) -> None:
        self._policy = policy
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="afin-dns")
        self._lookup = lookup or self._ask_system
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of ``host``; one that is not global refuses the whole name.

        Raises:
            FetchError: ``dns`` or ``forbidden-address``.
        """
        addresses = await self._addresses(host)
        if not addresses:
            raise FetchError("dns", f"The name {host} does not exist or has no address.")
        if not all(may_ask(item, host, port, self._policy.allow_loopback) for item in addresses):
            raise forbidden(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=_family(address),
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
            if family in (socket.AF_UNSPEC, _family(address))
        ]

    async def close(self) -> None:
        """Forget everything; lookups that the system has not answered yet end by themselves."""
        for task in self._asking.values():
            task.cancel()
        self._known.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> tuple[str, ...]:
        known = self._known.get(host)
        if known is not None and known.until > time.monotonic():
            return known.addresses
        task = self._asking.get(host)
        if task is None:
            task = asyncio.create_task(self._learn(host))
            self._asking[host] = task
            task.add_done_callback(lambda done: self._forget(host, done))
        try:
            # Shielded: others may wait for the same name when this one is given up.
            return await asyncio.shield(task)
        except OSError:
            raise PassingError("dns", f"The name {host} could not be looked up now.") from None

    async def _learn(self, host: str) -> tuple[str, ...]:
        addresses = tuple(dict.fromkeys(await self._lookup(host)))
        self._known[host] = _Known(addresses, time.monotonic() + self._policy.dns_ttl_s)
        self._known.move_to_end(host)
        if len(self._known) > MAX_NAMES:
            self._known.popitem(last=False)
        return addresses

    def _forget(self, host: str, done: asyncio.Task[tuple[str, ...]]) -> None:
        self._asking.pop(host, None)
        if not done.cancelled():
            done.exception()  # marks it as seen where nobody waits any more

    async def _ask_system(self, host: str) -> list[str]:
        """Ask the system; an empty list where it says that there is no such name.

        Raises:
            OSError: the system could not find out.
        """
        loop = asyncio.get_running_loop()
        # As bytes: given text, Python would put it through an IDNA of its own.
        name = host.encode("ascii")
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            )
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise
            return []
        return [str(entry[4][0]) for entry in found]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

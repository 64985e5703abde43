"""Politeness towards each host: slots that shrink when it suffers and grow back when it is well."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yarl import URL

from pipelines.sources.http.failures import ThrottledError
from pipelines.sources.http.policy import FetchPolicy
from schemas.errors import FetchError

UNREACHED = frozenset({"refused", "dns", "timeout"})
SUFFERING = UNREACHED | {"throttled", "too-slow", "broken-answer"}
LATENCY_WEIGHT = 0.2
FEW_HOSTS = 128


@dataclass(frozen=True, slots=True)
class HostStats:
    """How one host does: its slots now, and its answers so far."""

    slots: float
    active: int
    waiting: int
    answered: int
    throttled: int
    failed: int
    latency_s: float


class HostGate:
    """The slots of one host: additive increase, multiplicative decrease (Chiu and Jain, 1989)."""

    def __init__(self, host: str, policy: FetchPolicy) -> None:
        self.host = host
        self.slots = float(policy.per_host)
        self.active = 0
        self._policy = policy
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._last_cut = 0.0
        self._paused_until = 0.0
        self._dead_until = 0.0
        self._unreached = 0
        self._last_failure = "timeout"
        self._answered = self._throttled = self._failed = 0
        self._latency_s = 0.0

    async def acquire(self) -> None:
        """Wait for a slot; first come, first served."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back to whoever waits longest."""
        self.active -= 1
        self._wake()

    def check(self) -> None:
        """Refuse to bother a host that asked for quiet, or that is down.

        Raises:
            FetchError: ``throttled`` or the reason of the last failed connection.
        """
        now = time.monotonic()
        if self._paused_until > now:
            raise ThrottledError(
                f"{self.host} asked for quiet; ask again later.", self._paused_until - now
            )
        if self._dead_until > now:
            raise FetchError(
                self._last_failure,
                f"{self.host} failed {self._unreached} times in a row and is left alone for "
                f"{self._dead_until - now:.0f} s more; ask again then.",
            )

    def record(self, failure: FetchError | None, started: float) -> None:
        """Learn from how a request that began at ``started`` (monotonic seconds) ended."""
        now = time.monotonic()
        reason = failure.reason if failure else "ok"
        if reason == "forbidden-address":
            return  # nobody was asked
        if reason in SUFFERING or reason.startswith("http-5"):
            self._failed += 1
            # Requests that left before the last cut tell nothing about what it brought.
            if started >= self._last_cut:
                self.slots = max(1.0, self.slots / 2)
                self._last_cut = now
        else:
            self._answered += 1
            self._latency_s += LATENCY_WEIGHT * (now - started - self._latency_s)
            self.slots = min(float(self._policy.per_host), self.slots + 1 / self.slots)
            self._wake()
        if isinstance(failure, ThrottledError):
            self._throttled += 1
            self._paused_until = max(self._paused_until, now + (failure.retry_after_s or 0.0))
        self._count_unreached(reason, now)

    def _count_unreached(self, reason: str, now: float) -> None:
        if reason not in UNREACHED:
            self._unreached = 0
            return
        self._unreached += 1
        self._last_failure = reason
        if self._unreached >= self._policy.dead_after:
            self._dead_until = now + self._policy.dead_for_s

    @property
    def busy(self) -> bool:
        """Whether somebody holds a slot or waits for one."""
        return self.active > 0 or any(not waiter.done() for waiter in self._waiters)

    @property
    def lonely(self) -> bool:
        """Whether the one request in hand is the only one there is for this host."""
        return self.active <= 1 and not self._waiters

    def stats(self) -> HostStats:
        """A copy of the figures."""
        return HostStats(
            slots=self.slots,
            active=self.active,
            waiting=sum(not waiter.done() for waiter in self._waiters),
            answered=self._answered,
            throttled=self._throttled,
            failed=self._failed,
            latency_s=self._latency_s,
        )

    def _wake(self) -> None:
        while self._waiters and self.active < int(self.slots):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.active += 1
                waiter.set_result(None)


class HostGates:
    """The gates of all hosts asked lately, and the limit over all of them."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._gates: OrderedDict[str, HostGate] = OrderedDict()
        self._total = asyncio.Semaphore(policy.concurrency)

    @asynccontextmanager
    async def slot(self, url: URL) -> AsyncIterator[HostGate]:
        """Hold one slot of the URL's host, and one of all."""
        gate = self._gate(url)
        # The host first: those who queue for a slow host must not hold what others could use.
        await gate.acquire()
        try:
            async with self._total:
                yield gate
        finally:
            gate.release()

    def keeps_alive(self, gate: HostGate) -> bool:
        """Whether a connection is worth keeping.

        With many hosts, an idle connection to each would use up this process's open files.
        """
        return len(self._gates) <= FEW_HOSTS or not gate.lonely

    def stats(self) -> dict[str, HostStats]:
        """The figures by host, least recently asked first."""
        return {host: gate.stats() for host, gate in self._gates.items()}

    def _gate(self, url: URL) -> HostGate:
        host = str(url.raw_host)
        key = host if url.is_default_port() else f"{host}:{url.port}"
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = HostGate(key, self._policy)
            self._evict()
        self._gates.move_to_end(key)
        return gate

    def _evict(self) -> None:
        over = len(self._gates) - self._policy.max_hosts
        if over <= 0:
            return
        newest = next(reversed(self._gates))
        idle = (key for key, gate in self._gates.items() if not gate.busy and key != newest)
        for key in [key for key, _ in zip(idle, range(over), strict=False)]:
            del self._gates[key]

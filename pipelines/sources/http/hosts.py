"""Politeness towards each host: slots that shrink when it suffers and grow back when it is well."""

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from types import TracebackType

from yarl import URL

from pipelines.sources.http.failures import ThrottledError
from pipelines.sources.http.policy import FetchPolicy
from schemas.errors import FetchError

UNREACHED = frozenset({"refused", "dns", "timeout"})
SUFFERING = UNREACHED | {"throttled", "too-slow", "broken-answer"}
LATENCY_WEIGHT = 0.2
FEW_HOSTS = 128

STALLED_S = 2.0
"""A request that has no end after this long leaves its place among all hosts' to another one."""

STALLED_SHARE = 2
"""So many times the limit over all hosts may wait like that: each has a connection open."""

LONGEST_QUIET_S = 3600.0
"""A host that answers nothing else for so long uses up the tries of what is not asked of it."""

LONGEST_DEAD_S = 900.0
"""A host that stays down is left alone for twice as long each time, up to this."""


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
        self._quiet_since = 0.0
        self._dead_until = 0.0
        self._dead_for_s = policy.dead_for_s
        self._unreached = 0
        self._probing = False
        self._last_failure = "timeout"
        self._answered = self._throttled = self._failed = 0
        self._latency_s = 0.0

    async def acquire(self) -> None:
        """Wait for a slot; first come, first served."""
        if not self._waiters and self.active < self._room:
            self.active += 1
            return
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

    def check(self) -> bool:
        """Refuse to bother a host that asked for quiet, or that is down.

        Returns whether this request is the one that finds out if a host that was down is back:
        until its end, which ``record`` or ``give_up`` tells, every other one is refused.

        Raises:
            FetchError: ``throttled`` or the reason of the last failed connection.
        """
        now = time.monotonic()
        if self._paused_until > now:
            raise ThrottledError(
                f"{self.host} asked for quiet; ask again later.",
                self._paused_until - now,
                # One that never says anything else is no longer waited for.
                asked=now > self._quiet_since + LONGEST_QUIET_S,
            )
        if self._dead_until == 0.0:
            return False
        if self._dead_until > now or self._probing:
            raise FetchError(
                self._last_failure,
                f"{self.host} failed {self._unreached} times in a row and is left alone for "
                f"{max(self._dead_until - now, 0.0):.0f} s more; ask again then.",
            )
        self._probing = True
        return True

    @property
    def down(self) -> str | None:
        """The reason why nobody asks this host just now, if it is down."""
        return self._last_failure if self._dead_until > time.monotonic() else None

    def give_up(self) -> None:
        """Note that the request which was to find out ended without telling."""
        self._probing = False

    def bury(self, reason: str) -> None:
        """Leave the host alone for a while: what was asked of it first never got an answer."""
        if self._answered == 0:
            self._unreached = max(self._unreached, self._policy.dead_after)
            self._last_failure = reason
            self._die(time.monotonic())

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
            self._quiet_since = 0.0
            self._latency_s += LATENCY_WEIGHT * (now - started - self._latency_s)
            self.slots = min(float(self._policy.per_host), self.slots + 1 / self.slots)
            self._wake()
        if isinstance(failure, ThrottledError):
            self._throttled += 1
            self._quiet_since = self._quiet_since or now
            self._paused_until = max(self._paused_until, now + (failure.retry_after_s or 0.0))
        self._count_unreached(reason, now)

    def _count_unreached(self, reason: str, now: float) -> None:
        self._probing = False
        if reason not in UNREACHED:
            self._unreached, self._dead_until = 0, 0.0
            self._dead_for_s = self._policy.dead_for_s
            self._wake()
            return
        self._unreached += 1
        self._last_failure = reason
        if self._unreached >= self._policy.dead_after:
            self._die(now)

    def _die(self, now: float) -> None:
        if self._dead_until > now:
            return  # those that were under way when it was found dead tell nothing new
        self._dead_until = now + self._dead_for_s
        self._dead_for_s = min(2 * self._dead_for_s, LONGEST_DEAD_S)

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

    @property
    def _room(self) -> int:
        # After a failed connection nobody begins before those under way tell whether that was all:
        # else each of them would be followed by one that waits as long in vain.
        return 1 if self._unreached else int(self.slots)

    def _wake(self) -> None:
        while self._waiters and self.active < self._room:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.active += 1
                waiter.set_result(None)


class _Total:
    """The limit over all hosts, of which what has stalled holds no part."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._stalled = 0
        self._most_stalled = limit * STALLED_SHARE

    async def acquire(self) -> None:
        await self._free.acquire()

    def lend(self) -> bool:
        """Let another begin in place of one that has stalled; return whether there is room."""
        if self._stalled >= self._most_stalled:
            return False
        self._stalled += 1
        self._free.release()
        return True

    def release(self, *, lent: bool) -> None:
        if lent:
            self._stalled -= 1
        else:
            self._free.release()


class Slot:
    """One slot of a host and one of all, held inside ``async with``."""

    __slots__ = ("_lent", "_total", "gate")

    def __init__(self, gate: HostGate, total: _Total) -> None:
        self.gate = gate
        self._total = total
        self._lent = False

    async def __aenter__(self) -> HostGate:
        """Wait for both.

        The host first: those who queue for a slow host must not hold what others could use.
        """
        await self.gate.acquire()
        try:
            await self._total.acquire()
        except BaseException:
            self.gate.release()
            raise
        return self.gate

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give both back."""
        self._total.release(lent=self._lent)
        self.gate.release()

    def stall(self) -> None:
        """Hold the host's slot only: no answer has come for long."""
        self._lent = self._lent or self._total.lend()


class HostGates:
    """The gates of all hosts asked lately, and the limit over all of them."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._gates: OrderedDict[str, HostGate] = OrderedDict()
        self._total = _Total(policy.concurrency)

    def slot(self, url: URL) -> Slot:
        """One slot of the URL's host, and one of all, to be held inside ``async with``."""
        return Slot(self.gate(url), self._total)

    def keeps_alive(self, gate: HostGate) -> bool:
        """Whether a connection is worth keeping.

        With many hosts, an idle connection to each would use up this process's open files.
        """
        return len(self._gates) <= FEW_HOSTS or not gate.lonely

    def stats(self) -> dict[str, HostStats]:
        """The figures by host, least recently asked first."""
        return {host: gate.stats() for host, gate in self._gates.items()}

    def down(self, host: str) -> str | None:
        """Why the host, written ``host`` or ``host:port``, is left alone, if it is down."""
        gate = self._gates.get(host)
        return gate.down if gate else None

    def gate(self, url: URL) -> HostGate:
        """The gate of a URL's host and port."""
        # Without a port where it is the scheme's own.
        key = url.host_port_subcomponent or ""
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

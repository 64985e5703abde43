"""A budget of requests in a sliding stretch of time."""

from collections import deque

from pipelines.sources.sandbox.world import Clock


class Window:
    """Counts what happened within the last ``span_s`` seconds."""

    def __init__(self, span_s: float, clock: Clock) -> None:
        self._span_s = span_s
        self._clock = clock
        self._moments: deque[float] = deque()

    @property
    def used(self) -> int:
        """How much happened lately."""
        oldest = self._clock() - self._span_s
        while self._moments and self._moments[0] <= oldest:
            self._moments.popleft()
        return len(self._moments)

    def add(self) -> None:
        """Note that something happens now."""
        self._moments.append(self._clock())

    def free_at(self) -> float:
        """When the oldest of it will be forgotten (seconds since 1970)."""
        return (self._moments[0] if self.used else self._clock()) + self._span_s

"""What a sandbox was asked and answered, counted so that tests can assert on it."""

import threading
from collections import Counter

from pipelines.sources.sandbox.misbehaviours import Server


class Ledger:
    """Counts of requests by server, kind and target; safe to read from other threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries: Counter[tuple[Server, str]] = Counter()
        self._answers: Counter[tuple[Server, str, str]] = Counter()

    def arrive(self, server: Server, target: str) -> int:
        """Note that a target (path and query, no token) is asked for; return which try it is."""
        with self._lock:
            self._tries[server, target] += 1
            return self._tries[server, target]

    def answer(self, server: Server, kind: str, target: str) -> None:
        """Note how a target was answered: the kind of answer, or the name of the misbehaviour."""
        with self._lock:
            self._answers[server, kind, target] += 1

    def count(self, server: Server, kind: str | None = None) -> int:
        """How many answers a server gave, of one kind or of all."""
        with self._lock:
            found = self._answers.items()
            return sum(
                number
                for (where, what, _), number in found
                if where == server and kind in (None, what)
            )

    def targets(self, server: Server, kind: str) -> dict[str, int]:
        """How often each target was answered in one way, such as ``photo``."""
        with self._lock:
            found = self._answers.items()
            return {
                target: number
                for (where, what, target), number in found
                if where == server and what == kind
            }

    def counts(self) -> dict[str, dict[str, int]]:
        """All answers, by server and kind."""
        with self._lock:
            found = dict(self._answers)
        totals: dict[str, Counter[str]] = {}
        for (server, kind, _), number in found.items():
            totals.setdefault(server.value, Counter())[kind] += number
        return {server: dict(sorted(kinds.items())) for server, kinds in sorted(totals.items())}

    def reset(self) -> None:
        """Count from zero; which try of a target it is goes on."""
        with self._lock:
            self._answers.clear()

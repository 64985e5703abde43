"""How fast a sender may go: a token bucket each, in this process, before anything is stored."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_SENDERS = 10_000


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """Lets each sender have ``per_minute`` events in a burst, refilled evenly over a minute."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, sender: str) -> float:
        """Take a token; 0 if there was one, else the seconds until there will be."""
        now = self._clock()
        bucket = self._buckets.setdefault(sender, _Bucket(self._most, now))
        self._buckets.move_to_end(sender)
        if len(self._buckets) > MAX_SENDERS:
            self._buckets.popitem(last=False)
        rate = self._most / 60.0
        bucket.tokens = min(self._most, bucket.tokens + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return 0.0
        return math.ceil((1.0 - bucket.tokens) / rate)

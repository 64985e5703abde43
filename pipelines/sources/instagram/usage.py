"""How much of its allowance of calls the application has used up, and how much slower to go."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import chain

from pipelines.sources.metadata import dig
from pipelines.sources.records import parse_json
from schemas.crawls import Usage

HOUR_S = 3600.0
SLOW_FROM_PERCENT = 80.0
MOST_PERCENT = 10_000.0
LONGEST_BAN_MINUTES = 31 * 24 * 60.0

_COUNTS = ("call_count", "total_time", "total_cputime")


def parse_usage(headers: Mapping[str, str], now: datetime) -> Usage:
    """Read X-App-Usage and X-Business-Use-Case-Usage; headers that make no sense count as 0 %."""
    app = _parse(headers.get("x-app-usage"))
    business = _parse(headers.get("x-business-use-case-usage"))
    lists = business.values() if isinstance(business, dict) else ()
    cases = list(chain.from_iterable(entry for entry in lists if isinstance(entry, list)))
    percent = max(_numbers([app, *cases], _COUNTS), default=0.0)
    minutes = max(_numbers(cases, ("estimated_time_to_regain_access",)), default=0.0)
    regain_at = now + timedelta(minutes=min(minutes, LONGEST_BAN_MINUTES)) if minutes else None
    return Usage(percent=min(percent, MOST_PERCENT), regain_at=regain_at)


def choose_pause_s(usage: Usage, now: datetime) -> float:
    """Seconds to wait before the next call, so that 100 % are never reached.

    Nothing up to 80 %, then more and more, up to the hour over which calls are counted: 14 s at
    85 %, 4 minutes at 90 %, 19 at 95 %. Where access is barred, until it is regained.
    """
    if usage.regain_at is not None and usage.regain_at > now:
        return (usage.regain_at - now).total_seconds()
    over = (usage.percent - SLOW_FROM_PERCENT) / (100.0 - SLOW_FROM_PERCENT)
    return float(HOUR_S * min(max(over, 0.0), 1.0) ** 4)


def _parse(header: str | None) -> object:
    try:
        return parse_json(header or "null")
    except ValueError:
        return None


def _numbers(entries: Iterable[object], names: Iterable[str]) -> list[float]:
    names = tuple(names)
    values = [dig(entry, name) for entry in entries for name in names]
    return [
        float(value)
        for value in values
        # Comparing leaves out NaN, and integers too large for a float.
        if isinstance(value, int | float) and 0 < value < 10**9
    ]

"""Pexels' budget of requests: what an answer says of it, and when the next one may be sent."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pipelines.sources.http.retry import parse_retry_after
from pipelines.sources.pexels.photos import read_or_none
from pipelines.sources.values import parse_count, parse_date
from schemas.crawls import RateState

HOURLY = 200
"""Requests in any 60 minutes; the API does not say how many of them are left."""

HOUR = timedelta(hours=1)


def parse_rate(headers: Mapping[str, str]) -> RateState:
    """Read what is left of the month; None where the answer does not say."""
    return RateState(
        limit=read_or_none(parse_count, headers.get("x-ratelimit-limit")),
        remaining=read_or_none(parse_count, headers.get("x-ratelimit-remaining")),
        reset_at=read_or_none(parse_date, headers.get("x-ratelimit-reset")),
    )


def next_free_request(
    asked: Sequence[datetime], rate: RateState | None, now: datetime, *, hourly: int = HOURLY
) -> datetime | None:
    """When the next request may be sent; None: now.

    ``asked`` are the times of earlier requests (those of the last hour, or more, in any order),
    ``rate`` what the last answer said of the month. All times have a zone.
    """
    recent = sorted(moment for moment in asked if moment > now - HOUR)
    free = [recent[-hourly] + HOUR] if len(recent) >= hourly else []
    if rate is not None and rate.remaining == 0 and rate.reset_at and rate.reset_at > now:
        free.append(rate.reset_at)
    return max(free, default=None)


def guess_free_at(rate: RateState | None, now: datetime, retry_after: str | None) -> datetime:
    """When to come back after a 429: as it says, or else the end of a spent month, or an hour."""
    wait_s = parse_retry_after(retry_after, now=now, cap_s=HOUR.total_seconds())
    if wait_s is not None:
        return now + timedelta(seconds=wait_s)
    return next_free_request((), rate, now) or now + HOUR

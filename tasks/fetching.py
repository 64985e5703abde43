"""This process's one event loop and one fetcher, shared by every task that asks the web."""

import atexit
import threading
from functools import cache

from pipelines.sources.http import Fetcher, FetchPolicy
from schemas.settings import Settings, load_settings
from tasks.loop import BackgroundLoop

_opening = threading.Lock()


def fetching() -> tuple[BackgroundLoop, Fetcher]:
    """Return the loop and the fetcher that lives on it, opened when first needed."""
    # Two task threads that come first at once must not open two.
    with _opening:
        return _open()


@cache
def _open() -> tuple[BackgroundLoop, Fetcher]:
    loop, fetcher = BackgroundLoop("afin-fetch"), Fetcher(make_policy(load_settings()))
    loop.run(fetcher.__aenter__(), timeout_s=10.0)
    return loop, fetcher


def make_policy(settings: Settings) -> FetchPolicy:
    """What the settings allow a fetcher."""
    return FetchPolicy(
        total_timeout_s=settings.fetch_timeout_s,
        max_bytes=settings.max_photo_bytes,
        concurrency=settings.fetch_concurrency,
        allow_loopback=settings.fetch_allow_loopback,
        honour_robots=settings.fetch_honour_robots,
    )


def close_fetching() -> None:
    """Close the fetcher and its loop; the next task opens others, with the settings of then."""
    with _opening:
        if _open.cache_info().currsize:
            loop, fetcher = _open()
            _open.cache_clear()
            loop.run(fetcher.__aexit__(None, None, None), timeout_s=10.0)
            loop.close()


atexit.register(close_fetching)

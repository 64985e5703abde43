"""The guarded fetch core under every crawler: what may be asked, how politely, and how much."""

from pipelines.sources.http.addresses import looks_fetchable, redact
from pipelines.sources.http.answers import Fetched, read_json
from pipelines.sources.http.body import is_placeholder
from pipelines.sources.http.failures import PassingError, ThrottledError, refusal
from pipelines.sources.http.hosts import HostStats
from pipelines.sources.http.policy import FetchPolicy
from pipelines.sources.http.session import Fetcher, Kind

__all__ = [
    "FetchPolicy",
    "Fetched",
    "Fetcher",
    "HostStats",
    "Kind",
    "PassingError",
    "ThrottledError",
    "is_placeholder",
    "looks_fetchable",
    "read_json",
    "redact",
    "refusal",
]

"""What the fetch core may do and for how long: every limit in one frozen, typed place."""

from pydantic import Field

from schemas.base import Frozen


class FetchPolicy(Frozen):
    """Limits of one ``Fetcher``; the defaults suit photos from strangers' servers."""

    # Time
    total_timeout_s: float = Field(
        30.0,
        gt=0,
        description="all tries, redirects and waits of one URL, without its turn in queues",
    )
    connect_timeout_s: float = Field(8.0, gt=0, description="resolving, connecting and TLS")
    headers_timeout_s: float = Field(
        15.0, gt=0, description="connecting until the headers are complete, one try"
    )
    min_rate_bytes_s: float = Field(
        1024.0, ge=0, description="slower bodies are given up (0: never)"
    )
    min_rate_grace_s: float = Field(5.0, ge=0, description="before the minimum rate is asked for")

    # Size
    max_bytes: int = Field(
        32 * 2**20, ge=1, description="of a body on the wire, and again once decompressed"
    )
    max_redirects: int = Field(8, ge=0, description="hops after the first address")

    # Politeness
    concurrency: int = Field(64, ge=1, description="requests at once, all hosts together")
    per_host: int = Field(8, ge=1, description="requests at once to one host, when it is content")
    max_hosts: int = Field(4096, ge=1, description="hosts remembered; the longest idle go first")
    dead_after: int = Field(
        8, ge=1, description="failed connections in a row after which a host is left alone"
    )
    dead_for_s: float = Field(30.0, ge=0, description="how long such a host is left alone")
    honour_robots: bool = Field(True, description="obey robots.txt and X-Robots-Tag: noai")
    user_agent: str = Field(
        "afin/0.1", min_length=1, pattern=r"^[ -~]+$", description="some sources refuse none at all"
    )

    # Trying again
    retries: int = Field(3, ge=0, description="tries after the first")
    backoff_base_s: float = Field(0.5, ge=0, description="ceiling of the first random wait")
    backoff_cap_s: float = Field(20.0, ge=0, description="ceiling of every random wait")
    retry_after_cap_s: float = Field(
        3600.0, ge=0, description="a longer Retry-After is taken for this"
    )

    # Addresses
    allow_loopback: bool | frozenset[str] = Field(
        False, description="this machine may be asked: always, or as one of these host:port"
    )
    dns_ttl_s: float = Field(60.0, ge=0, description="how long a name keeps its addresses")

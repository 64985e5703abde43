"""What a fetch brings home."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import ClientResponse


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer; ``final_url`` is redacted, ``headers`` have lower-case names and no cookies."""

    final_url: str
    status: int
    content_type: str
    elapsed_s: float
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def keep_answer(response: ClientResponse, body: bytes, name: str, elapsed_s: float) -> Fetched:
    """Keep of a response what outlives its connection; ``name`` is the redacted address."""
    headers = {key.lower(): value for key, value in response.headers.items()}
    headers.pop("set-cookie", None)
    return Fetched(
        final_url=name,
        status=response.status,
        content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
        elapsed_s=elapsed_s,
        body=body,
        headers=headers,
    )

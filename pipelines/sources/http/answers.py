"""What a fetch brings home."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import ClientResponse

from pipelines.sources.records import parse_json
from schemas.errors import FetchError

MAX_JSON_BYTES = 8 * 2**20
"""Parsed JSON takes some ten times its bytes; a page of results has a few hundred kilobytes."""


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


def read_json(answer: Fetched) -> object:
    """Parse the JSON of an answer.

    Raises:
        FetchError: ``broken-answer`` or ``too-big``.
    """
    if len(answer.body) > MAX_JSON_BYTES:
        raise FetchError(
            "too-big", f"{answer.final_url} sent more than {MAX_JSON_BYTES // 2**20} MiB of JSON."
        )
    try:
        return parse_json(answer.body.decode("utf-8-sig"))
    except ValueError:
        # The parser's own words quote what came, which may hold a secret.
        raise FetchError(
            "broken-answer", f"{answer.final_url} answered {answer.status} without usable JSON."
        ) from None

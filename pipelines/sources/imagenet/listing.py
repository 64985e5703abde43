"""Lines of ImageNet's lists: an image's id and its address, in bytes of no certain encoding."""

import hashlib
import re
from urllib.parse import quote

from pipelines.sources.http import looks_fetchable
from pipelines.sources.values import make_problem
from schemas.crawls import FoundPhoto
from schemas.errors import UsageError
from schemas.posts import Problem

WNID_CHARS = 9
"""A WordNet id is ``n`` and the eight digits of the synset's offset in WordNet 3.0."""

_WNID = re.compile(r"n\d{8}", re.ASCII)
_LISTED = re.compile(rb"(n\d{8}_\d{1,10})[\t ]+(.+)", re.DOTALL)
_ADDRESS = re.compile(rb"(https?://[^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def is_wnid(text: str) -> bool:
    """Whether ``text`` is written like a WordNet id."""
    return _WNID.fullmatch(text) is not None


def parse_wnid(text: str) -> str:
    """Read a WordNet id that a person typed.

    Raises:
        UsageError: it is not written like one.
    """
    wnid = text.strip().lower()
    if not is_wnid(wnid):
        raise UsageError(
            f"{text[:40]!r} is no WordNet id: write n and eight digits, such as n02084071."
        )
    return wnid


def parse_listed(line: bytes, where: str) -> FoundPhoto | Problem:
    """Read a line ``n02084071_1<TAB or blank>address``; its id begins with the synset's."""
    match = _LISTED.fullmatch(line.strip())
    if match is None:
        return _unusable(where, "bad-line", "It is no image id with an address behind it.")
    image_id = match[1].decode("ascii")
    return _build(image_id, match[2], f"{where}: {image_id}")


def parse_bare(line: bytes, wnid: str, where: str) -> FoundPhoto | Problem:
    """Read a line that is only an address; the id is made from it, the same every time."""
    digest = hashlib.sha256(line.strip()).hexdigest()[:16]
    return _build(f"{wnid}-{digest}", line.strip(), where)


def _build(image_id: str, address: bytes, where: str) -> FoundPhoto | Problem:
    url = _spell(address)
    if url is None or not looks_fetchable(url):
        return _unusable(where, "bad-url", "It is no address that can be fetched.")
    return FoundPhoto(source="imagenet", external_id=image_id, url=url)


def _spell(address: bytes) -> str | None:
    """Write an address as text that asks its host for the same bytes, whatever they stand for."""
    if address.isascii():
        return address.decode("ascii")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return None
    try:
        host = match[1].decode("utf-8")
    except UnicodeDecodeError:
        host = match[1].decode("latin-1")
    # Blanks stay, too: only bytes outside ASCII are written as %XX here.
    return host + quote(match[2], safe=f"{_ASCII} \t")


def _unusable(where: str, reason: str, detail: str) -> Problem:
    return make_problem(where=where, reason=reason, detail=detail)

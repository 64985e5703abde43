"""ImageNet's historical text API: the addresses of a synset's photos, and the synsets below it."""

from collections.abc import Callable, Iterable

from pipelines.sources.http import Fetcher
from pipelines.sources.imagenet.listing import is_wnid, parse_bare, parse_listed, parse_wnid
from schemas.crawls import FoundPhoto, Page
from schemas.errors import FetchError, NotFoundError
from schemas.posts import Problem

_MAPPING = "imagenet.synset.geturls.getmapping"
_PLAIN = "imagenet.synset.geturls"
_HYPONYMS = "wordnet.structure.hyponym"
# Given with status 200.
_NO_SUCH_ID = b"invalid url!"


async def read_synset_urls(fetcher: Fetcher, base_url: str, wnid: str) -> Page[FoundPhoto]:
    """Ask for the addresses of a synset's photos, all on one page.

    ``external_id`` is ImageNet's image id; where the service only lists addresses, it is made
    from the synset and the address.

    Raises:
        UsageError: ``wnid`` is not written like a WordNet id.
        NotFoundError: the service knows no such synset.
        FetchError: the service does not answer, or not with a list of addresses.
    """
    wnid = parse_wnid(wnid)
    try:
        body = await _ask(fetcher, base_url, _MAPPING, wnid)
        return parse_mapping(body, wnid)
    except FetchError as error:
        if error.reason not in ("broken-answer", "http-404", "http-410"):
            raise
    return parse_urls(await _ask(fetcher, base_url, _PLAIN, wnid), wnid)


async def read_hyponyms(
    fetcher: Fetcher, base_url: str, wnid: str, *, full: bool = False
) -> list[str]:
    """Ask for the synsets right below one, or with ``full`` for its whole subtree, without itself.

    Raises:
        UsageError: ``wnid`` is not written like a WordNet id.
        NotFoundError: the service knows no such synset.
        FetchError: the service does not answer, or not with a list of synsets.
    """
    wnid = parse_wnid(wnid)
    body = await _ask(fetcher, base_url, _HYPONYMS, wnid, f"&full={int(full)}")
    return parse_hyponyms(body, wnid)


def parse_mapping(body: bytes, wnid: str) -> Page[FoundPhoto]:
    """Read the answer of ``geturls.getmapping``: an image id and an address a line.

    Raises:
        FetchError: ``broken-answer``: not one line is of that kind.
    """
    return _collect(body, wnid, lambda line: parse_listed(line, wnid))


def parse_urls(body: bytes, wnid: str) -> Page[FoundPhoto]:
    """Read the answer of ``geturls``: an address a line.

    Raises:
        FetchError: ``broken-answer``: not one line is of that kind.
    """
    return _collect(body, wnid, lambda line: parse_bare(line, wnid, wnid))


def parse_hyponyms(body: bytes, wnid: str) -> list[str]:
    """Read the answer of ``structure.hyponym``: the synset, then those below it after a dash.

    Raises:
        FetchError: ``broken-answer``: it names no synset at all.
    """
    lines = [line.strip().lstrip("-") for line in body.decode("latin-1").splitlines()]
    found = [line for line in dict.fromkeys(lines) if is_wnid(line)]
    if not found:
        raise _broken(wnid, "synsets")
    return [line for line in found if line != wnid]


def _collect(
    body: bytes, wnid: str, parse: Callable[[bytes], FoundPhoto | Problem]
) -> Page[FoundPhoto]:
    entries = [parse(line) for line in _lines(body)]
    photos = {entry.external_id: entry for entry in entries if isinstance(entry, FoundPhoto)}
    problems = tuple(entry for entry in entries if isinstance(entry, Problem))
    if problems and not photos:
        raise _broken(wnid, "addresses")
    return Page[FoundPhoto](items=tuple(photos.values()), total=len(photos), problems=problems)


def _lines(body: bytes) -> Iterable[bytes]:
    # Split at newlines only: other bytes that Unicode calls line ends are part of an address.
    return (line for line in body.split(b"\n") if line.strip())


def _broken(wnid: str, what: str) -> FetchError:
    return FetchError(
        "broken-answer",
        f"The service answered for {wnid}, but with no list of {what}: check the base URL, or "
        "crawl from the files fall11_urls.txt, words.txt and wordnet.is_a.txt.",
    )


async def _ask(fetcher: Fetcher, base_url: str, method: str, wnid: str, more: str = "") -> bytes:
    url = f"{base_url.rstrip('/')}/api/text/{method}?wnid={wnid}{more}"
    body = (await fetcher.fetch(url, kind="api")).body
    if body.strip().lower().startswith(_NO_SUCH_ID):
        raise NotFoundError(f"ImageNet knows no synset {wnid}: look its id up in words.txt.")
    return body

"""ImageNet's files as people keep them: where they lie, and fall11_urls.txt as a stream."""

from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.sources.imagenet.listing import WNID_CHARS, parse_listed
from pipelines.sources.values import make_problem
from schemas.crawls import FoundPhoto
from schemas.errors import SourceError
from schemas.posts import Problem

URLS = "fall11_urls.txt"
WORDS = "words.txt"
HIERARCHY = "wordnet.is_a.txt"

MAX_LINE_BYTES = 64 * 1024
# Its lines, cut apart, take six times as much.
_CHUNK_BYTES = 2**18


def find_imagenet_file(folder: Path, name: str) -> Path:
    """Return the path of one of the three files in ``folder``.

    Raises:
        SourceError: it is not there.
    """
    path = folder / name
    if not path.is_file():
        raise SourceError(
            f"There is no {name} in {folder}: name the folder that holds {URLS}, {WORDS} and "
            f"{HIERARCHY} as ImageNet published them."
        )
    return path


def iter_urls(folder: Path, wnids: Collection[str]) -> Iterator[FoundPhoto | Problem]:
    """Stream the photos of some synsets from the 14 million lines of fall11_urls.txt.

    Memory stays flat however long the file or a line of it. ``external_id`` is the image id,
    which begins with the synset's; lines of other synsets are not looked at.

    Raises:
        SourceError: the file is not there, or cannot be read.
    """
    path = find_imagenet_file(folder, URLS)
    wanted = frozenset(wnid.encode("utf-8", "replace") for wnid in wnids)
    try:
        for line in _iter_lines(path, wanted):
            if len(line) > MAX_LINE_BYTES:
                where = f"{path.name}: {line[:WNID_CHARS].decode('ascii', 'replace')}"
                detail = f"A line has more than {MAX_LINE_BYTES // 1024} KiB."
                yield make_problem(where=where, reason="line-too-long", detail=detail)
            else:
                yield parse_listed(line, path.name)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def _iter_lines(path: Path, wanted: Collection[bytes]) -> Iterator[bytes]:
    """Yield the lines that begin with one of ``wanted``; of a line too long only the beginning."""
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK_BYTES):
            lines = (rest + chunk).split(b"\n")
            # What a too long line has beyond its beginning is thrown away as it comes in.
            rest = lines.pop()[: MAX_LINE_BYTES + 1]
            yield from [line for line in lines if line[:WNID_CHARS] in wanted]
        if rest[:WNID_CHARS] in wanted:
            yield rest

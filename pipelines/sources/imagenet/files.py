"""ImageNet's files as people keep them: where they lie, and fall11_urls.txt as a stream."""

from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.sources.imagenet.listing import WNID_CHARS, parse_listed
from pipelines.sources.values import make_problem
from schemas.crawls import FoundPhoto, Page
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
        for _end, lines in _iter_chunks(path, 0):
            yield from (_parse(line, path.name) for line in lines if line[:WNID_CHARS] in wanted)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_url_page(
    folder: Path, wnids: Collection[str], *, start: int = 0, most: int = 20_000
) -> Page[FoundPhoto]:
    """Read on in fall11_urls.txt from byte ``start`` until about ``most`` photos are found.

    ``next`` is the byte to go on from. Memory is bounded by ``most`` and one chunk of the file.

    Raises:
        SourceError: the file is not there, or cannot be read.
    """
    path = find_imagenet_file(folder, URLS)
    wanted = frozenset(wnid.encode("utf-8", "replace") for wnid in wnids)
    found: list[FoundPhoto] = []
    problems: list[Problem] = []
    try:
        for end, lines in _iter_chunks(path, start):
            for line in lines:
                if line[:WNID_CHARS] in wanted:
                    item = _parse(line, path.name)
                    if isinstance(item, FoundPhoto):
                        found.append(item)
                    else:
                        problems.append(item)
            if len(found) >= most:
                return Page(items=tuple(found), next=str(end), problems=tuple(problems))
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    return Page(items=tuple(found), problems=tuple(problems))


def _parse(line: bytes, name: str) -> FoundPhoto | Problem:
    if len(line) <= MAX_LINE_BYTES:
        return parse_listed(line, name)
    where = f"{name}: {line[:WNID_CHARS].decode('ascii', 'replace')}"
    detail = f"A line has more than {MAX_LINE_BYTES // 1024} KiB."
    return make_problem(where=where, reason="line-too-long", detail=detail)


def _iter_chunks(path: Path, start: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines of a file, some at a time, each time with the byte after the last of them.

    Of a line too long only its beginning is kept.
    """
    with path.open("rb") as file:
        file.seek(start)
        end, rest, rest_bytes = start, b"", 0
        while chunk := file.read(_CHUNK_BYTES):
            lines = (rest + chunk).split(b"\n")
            # What a too long line has beyond its beginning is thrown away as it comes in.
            last = lines.pop()
            rest_bytes = len(last) if lines else rest_bytes + len(chunk)
            rest = last[: MAX_LINE_BYTES + 1]
            end = file.tell() - rest_bytes
            yield end, lines
        if rest:
            yield end + rest_bytes, [rest]

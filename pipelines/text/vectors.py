"""Pretrained word vectors in fastText's text format (``.vec``): a header, then a word a line."""

import gzip
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, cast

import numpy as np

from pipelines.text.clean import clean_caption
from schemas.bundles import WordVectors
from schemas.errors import SourceError, TrainingError

MOST_COMMON = 30_000
"""Words taken from the top of a file, which is sorted by frequency, whether or not they were met:
captions yet to come will hold them. Two million words of 300 values would make a bundle 2.4 GB."""

_SHOWN = 40


def select_vectors(path: Path, met: Collection[str], out: Path) -> WordVectors:
    """Copy those vectors of a ``.vec`` or ``.vec.gz`` file that captions can use; describe them.

    Kept are the ``MOST_COMMON`` first words and every later one among those ``met``, as far as
    cleaned captions can hold them (lower case, no punctuation). The file is read line by line.

    Raises:
        SourceError: it cannot be read, has no header, a line has more or fewer numbers than the
            header says, or no word of it can be in a caption.
    """
    lines: list[bytes] = []
    seen: set[str] = set()
    with _open(path) as file:
        try:
            count, width = _read_header(path, file.readline())
            for number, (word, values) in enumerate(_split(file), start=2):
                if len(values) != width:
                    raise SourceError(
                        f"Line {number} of {path} has {len(values)} numbers after "
                        f"{word[:_SHOWN]!r}, and its header says {width}: it is cut off or not a "
                        ".vec file; download it again."
                    )
                if word in seen or not _is_wanted(word, number - 2, met):
                    continue
                _check_numbers(path, number, values)
                seen.add(word)
                lines.append(b" ".join([word.encode(), *values]))
        except (OSError, EOFError) as error:
            raise SourceError(f"{path} cannot be read ({error}): download it again.") from error
    if not lines:
        raise SourceError(f"None of the {count} words of {path} can be in a cleaned caption.")
    content = b"%d %d\n" % (len(lines), width) + b"\n".join(lines) + b"\n"
    out.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return WordVectors(name=path.name, sha256=digest, width=width, words=len(lines))


def require_width(path: Path, width: int) -> None:
    """Refuse vectors of another width than a model is to have.

    Raises:
        TrainingError: they have another.
    """
    with path.open("rb") as file:
        _count, found = _read_header(path, file.readline())
    if found != width:
        raise TrainingError(
            f"The pretrained vectors have {found} values a word, and the text model {width}: give "
            f"vectors of {width}, or a model as wide as they are."
        )


def _open(path: Path) -> IO[bytes]:
    try:
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        return path.open("rb")
    except OSError as error:
        why = error.strerror or error
        raise SourceError(f"{path} cannot be read ({why}): name a .vec file.") from error


def _read_header(path: Path, line: bytes) -> tuple[int, int]:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or int(parts[1]) < 1:  # noqa: PLR2004 - words, width
        raise SourceError(
            f"{path} does not begin with how many words and how many values a word there are "
            "('1000000 300'): give vectors in fastText's text format (.vec)."
        )
    return int(parts[0]), int(parts[1])


def _split(file: IO[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    for line in file:
        word, *values = line.rstrip().split(b" ")
        yield word.decode("utf-8", "replace"), values


def _is_wanted(word: str, place: int, met: Collection[str]) -> bool:
    return word in met or (place < MOST_COMMON and clean_caption(word) == word != "")


def _check_numbers(path: Path, number: int, values: list[bytes]) -> None:
    try:
        sound = bool(np.isfinite(np.array(values, np.float64)).all())
    except ValueError:
        sound = False
    if not sound:
        raise SourceError(
            f"Line {number} of {path} holds something that is no number: it is not a .vec file, or "
            "damaged; download it again."
        )

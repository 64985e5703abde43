"""Tables as people save them: CSV, TSV and their kin, streamed row by row with line numbers."""

import csv
import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO

from pipelines.sources.paths import shorten
from pipelines.sources.textfiles import open_text, read_lines
from pipelines.sources.values import make_problem
from schemas.errors import SourceError
from schemas.posts import Problem

MAX_ROW_CHARS = 8 * 2**20
"""A row longer than this is a missing closing quote, not a caption."""

DELIMITERS = "\t,;|"

# Process-wide, and only ever raised: csv's own limit of 131,072 refuses a long caption.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_CHARS))


@dataclass(frozen=True)
class Row:
    """One row: where it stands, and its cells by column (only known columns; absent ones "")."""

    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Header:
    """How a table is cut into cells: the delimiter, and the column each position belongs to."""

    delimiter: str
    columns: tuple[str | None, ...]


def read_rows(
    path: Path, columns: Mapping[str, str], required: Sequence[str]
) -> Iterator[Row | Problem]:
    """Stream a table whose first line names its columns, in whatever encoding and delimiter.

    ``columns`` maps every name a column may go by (see ``normalise_name``) to ours; other columns
    are ignored.

    Raises:
        SourceError: the file is no text, or its header lacks a ``required`` column.
    """
    with open_text(path, newline="") as file:
        lines = _Lines(file)
        header = _read_header(path, lines, columns, required)
        yield from _read_body(path, lines, header)


def normalise_name(name: str) -> str:
    """Bring a column's name to lower case without accents, with ``_`` for blanks and dashes."""
    plain = unicodedata.normalize("NFKD", name.strip().strip('"').casefold())
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    return re.sub(r"[\s\-]+", "_", letters.strip())


class _Lines:
    """Physical lines with one row of memory, so that a row with a stray quote is read again."""

    def __init__(self, file: IO[str]) -> None:
        self._source = read_lines(file, MAX_ROW_CHARS)
        self._ahead: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []
        self._chars = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._source)
        self.number += 1
        self.taken.append(line or "")
        self._chars += len(line or "")
        if line is None or self._chars > MAX_ROW_CHARS:
            raise csv.Error(f"more than {MAX_ROW_CHARS:,} characters")
        return line.replace("\0", "")

    def start_row(self) -> None:
        self.taken = []
        self._chars = 0

    def give_back(self) -> str:
        """Return the row's first line and put the others back to be read again."""
        first, *others = self.taken
        self._ahead.extendleft(reversed(others))
        self.number -= len(others)
        self.taken = [first]
        return first.replace("\0", "").rstrip("\r\n")


def _read_header(
    path: Path, lines: _Lines, columns: Mapping[str, str], required: Sequence[str]
) -> Header:
    delimiters = DELIMITERS
    try:
        line = next(line for line in lines if line.strip())
        if match := re.fullmatch(r"sep=(.)", line.strip(), re.IGNORECASE):  # Excel writes this
            delimiters = match[1]
            line = next(line for line in lines if line.strip())
    except (StopIteration, csv.Error) as error:
        raise SourceError(f"{path} has no line with column names.") from error
    headers = [_cut_header(line, delimiter, columns) for delimiter in delimiters]
    best = max(headers, key=lambda header: len(set(header.columns) - {None}))
    missing = [name for name in required if name not in best.columns]
    if missing:
        raise SourceError(
            f"{path} has no column {' or '.join(missing)}: its first line must name the columns "
            f"({', '.join(dict.fromkeys(columns.values()))}), and reads {shorten(line.strip())}."
        )
    return best


def _cut_header(line: str, delimiter: str, columns: Mapping[str, str]) -> Header:
    try:
        names = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        names = line.split(delimiter)
    ours: list[str | None] = []
    for name in names:
        column = columns.get(normalise_name(name))
        ours.append(None if column in ours else column)  # the first of two equal columns counts
    return Header(delimiter, tuple(ours))


def _read_body(path: Path, lines: _Lines, header: Header) -> Iterator[Row | Problem]:
    width = len(header.columns)
    while True:
        lines.start_row()
        where = f"{path.name}:{lines.number + 1}"
        try:
            cells = next(csv.reader(lines, delimiter=header.delimiter, strict=True))
            whole = len(lines.taken) == 1 or len(cells) == width
            error = "" if whole else f"{len(cells)} cells over {len(lines.taken)} lines"
        except StopIteration:
            return
        except csv.Error as reason:
            cells, error = [], str(reason)
        if error:
            # A stray quote joins rows that are none: take the line as it stands, quotes and all.
            cells = lines.give_back().split(header.delimiter)
            if len(cells) != width or not any(cells):
                yield make_problem(where=where, reason="bad-row", detail=f"Not a row: {error}.")
                continue
        if any(cell.strip() for cell in cells[width:]):
            detail = f"{len(cells)} cells under {width} columns: quote cells that hold a delimiter."
            yield make_problem(where=where, reason="bad-row", detail=detail)
        elif any(cell.strip() for cell in cells):
            yield Row(where, _name_cells(header, cells))


def _name_cells(header: Header, cells: Sequence[str]) -> dict[str, str]:
    pairs = zip_longest(header.columns, cells[: len(header.columns)], fillvalue="")
    return {column: cell or "" for column, cell in pairs if column}

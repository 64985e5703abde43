"""JSON files as a stream of records: JSON lines, or one list."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.paths import shorten
from pipelines.sources.textfiles import open_text, read_lines
from pipelines.sources.values import make_problem
from schemas.errors import SourceError
from schemas.posts import Problem

MAX_LINE_CHARS = 64 * 2**20
"""A line of JSON longer than this is skipped, so that memory stays bounded."""

MAX_LIST_BYTES = 256 * 2**20
"""A list is held in memory at once; larger ones have to come as JSON lines."""


@dataclass(frozen=True)
class Record:
    """One JSON value and where it stands in its file."""

    where: str
    value: object


def read_records(path: Path) -> Iterator[Record | Problem]:
    """Stream the records of a JSON lines file, or of a ``.json`` file that holds a list or one.

    Raises:
        SourceError: the file cannot be read as JSON at all.
    """
    if path.suffix.lower() == ".json":
        yield from _read_list(path)
    else:
        yield from _read_json_lines(path)


def parse_json(text: str) -> object:
    """Parse JSON from a stranger.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a number too long to read.
    """
    try:
        value: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _read_json_lines(path: Path) -> Iterator[Record | Problem]:
    with open_text(path, newline="\n") as file:
        for number, line in enumerate(read_lines(file, MAX_LINE_CHARS), 1):
            where = f"{path.name}:{number}"
            if line is None:
                detail = f"The line has more than {MAX_LINE_CHARS:,} characters."
                yield make_problem(where=where, reason="line-too-long", detail=detail)
            elif line.strip():
                yield _parse_line(where, line)


def _parse_line(where: str, line: str) -> Record | Problem:
    try:
        return Record(where, parse_json(line))
    except ValueError as error:
        detail = f"Not JSON ({error}): {shorten(line.strip(), 40)}."
        return make_problem(where=where, reason="bad-json", detail=detail)


def _read_list(path: Path) -> Iterator[Record | Problem]:
    with open_text(path, newline="\n") as file:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise SourceError(
                f"{path} is larger than {MAX_LIST_BYTES // 2**20} MiB: save it as JSON lines "
                "(one object a line, ending .jsonl)."
            )
        text = file.read()
    try:
        value = parse_json(text)
    except ValueError as error:
        if not isinstance(_parse_line("", text.lstrip().partition("\n")[0]), Record):
            raise SourceError(
                f"{path} is not JSON ({error}): it has to hold a list, or an object a line."
            ) from error
        yield from _read_json_lines(path)  # JSON lines under another ending
        return
    items = value if isinstance(value, list) else [value]
    yield from (Record(f"{path.name}[{index}]", item) for index, item in enumerate(items))

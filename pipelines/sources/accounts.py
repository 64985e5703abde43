"""Accounts with their posts, from whichever kind of file or folder they were saved in."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.dumps import read_dump
from pipelines.sources.json_accounts import read_json_accounts
from pipelines.sources.table_accounts import read_table_accounts
from pipelines.sources.textfiles import open_text
from pipelines.sources.values import make_problem
from schemas.errors import SourceError
from schemas.posts import Problem, SourceAccount

_JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})


def read_accounts(
    path: Path, *, max_caption_chars: int = 10_000
) -> Iterator[SourceAccount | Problem]:
    """Stream the accounts of a JSON, CSV or TSV file, or of an Instaloader or gallery-dl folder.

    A username that comes twice is yielded twice, the second time after a ``duplicate-username``
    problem. Photos are named, not opened.

    Raises:
        SourceError: nothing of that kind can be read there at all.
    """
    seen: set[str] = set()
    for item in _read_any(path, max_caption_chars):
        if isinstance(item, SourceAccount):
            if item.username in seen:
                yield make_problem(
                    where=f"{path.name}: {item.username}",
                    reason="duplicate-username",
                    detail=f"{item.username} comes more than once: its posts are put together.",
                )
            seen.add(item.username)
        yield item


def _read_any(path: Path, max_caption_chars: int) -> Iterator[SourceAccount | Problem]:
    if not path.exists():
        raise SourceError(
            f"There is no file or folder {path}: check its name and the folder you are in."
        )
    if path.is_dir():
        return read_dump(path, max_caption_chars=max_caption_chars)
    if _holds_json(path):
        return read_json_accounts(path, max_caption_chars=max_caption_chars)
    return read_table_accounts(path, max_caption_chars=max_caption_chars)


def _holds_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _JSON_SUFFIXES or suffix in _TABLE_SUFFIXES:
        return suffix in _JSON_SUFFIXES
    with open_text(path, newline="\n") as file:
        return file.read(4096).lstrip().startswith(("{", "["))

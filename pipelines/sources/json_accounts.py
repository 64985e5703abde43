"""Accounts as JSON: one object an account, with its posts inside."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.sources.assemble import Notes, build_account, build_post
from pipelines.sources.paths import shorten
from pipelines.sources.records import Record, read_records
from pipelines.sources.values import parse_username
from schemas.posts import Problem, SourceAccount, SourcePost


def read_json_accounts(path: Path, *, max_caption_chars: int) -> Iterator[SourceAccount | Problem]:
    """Stream accounts from JSON lines, or from a ``.json`` file that holds a list.

    An account is ``username, followers, categories, posts[]``, a post ``id, photos[], caption,
    posted_at, likes, comments, category``; all but the username may be absent.

    Raises:
        SourceError: the file cannot be read as JSON at all.
    """
    for record in read_records(path):
        if isinstance(record, Problem):
            yield record
        else:
            yield from _read_account(record, path.parent, max_caption_chars)


def _read_account(
    record: Record, folder: Path, max_caption_chars: int
) -> Iterator[SourceAccount | Problem]:
    notes = Notes(record.where)
    raw = record.value
    if not isinstance(raw, Mapping):
        notes.add("not-an-account", "Not an object with a username and posts.")
        yield from notes.problems
        return
    username = notes.read(parse_username, raw.get("username"), "invalid-username")
    if username is None:
        yield from notes.problems
        return
    posts = _read_posts(raw.get("posts"), notes, folder, max_caption_chars)
    yield from build_account(
        username, posts, notes, followers=raw.get("followers"), truth=raw.get("categories")
    )


def _read_posts(
    raw: object, notes: Notes, folder: Path, max_caption_chars: int
) -> Iterator[SourcePost]:
    if raw is None:
        return
    if not isinstance(raw, list):
        notes.add("invalid-posts", "The posts are no list.")
        return
    for number, post in enumerate(raw):
        if not isinstance(post, Mapping):
            notes.add("invalid-post", f"Post number {number} is no object.")
            continue
        where = f"{notes.where} post {shorten(str(post.get('id', number))[:100], 40)}"
        yield build_post(post, where=where, folder=folder, max_caption_chars=max_caption_chars)

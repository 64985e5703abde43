"""From loosely typed values to accounts and posts; what cannot be used is noted where it stood."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pipelines.sources.paths import find_file, shorten
from pipelines.sources.values import (
    clean_text,
    make_problem,
    parse_count,
    parse_date,
    parse_name,
    sort_categories,
)
from schemas.errors import PhotoError
from schemas.posts import Problem, SourceAccount, SourcePhoto, SourcePost

MAX_URL_CHARS = 2_048

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_T = TypeVar("_T")


class Notes:
    """Collects what could not be used at one place of the input."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Problem] = []

    def add(self, reason: str, detail: str) -> None:
        """Note one thing that could not be used."""
        self.problems.append(make_problem(self.where, reason, detail))

    def read(self, parse: Callable[[object], _T], value: object, reason: str) -> _T | None:
        """Parse a value; one that cannot be used is noted and becomes None."""
        try:
            return parse(value)
        except ValueError as error:
            self.add(reason, str(error))
            return None


def build_account(
    username: str, posts: Iterable[SourcePost], notes: Notes, *, followers: object, truth: object
) -> Iterator[SourceAccount | Problem]:
    """Yield an account, then what was wrong with it; of two posts with one id the first counts."""
    kept: dict[str, SourcePost] = {}
    for post in posts:
        if post.external_id in kept:
            detail = f"The post {shorten(post.external_id)} of {username} comes twice: first kept."
            notes.add("duplicate-post", detail)
        else:
            kept[post.external_id] = post
    account = SourceAccount(
        username=username,
        followers=notes.read(parse_count, followers, "invalid-followers"),
        posts=tuple(kept.values()),
        truth=read_truth(truth, notes),
    )
    yield account
    yield from notes.problems


def build_post(
    raw: Mapping[str, object], *, where: str, folder: Path, max_caption_chars: int
) -> SourcePost:
    """Build a post from ``id, caption, photos, posted_at, likes, comments, category``.

    Any of them may be absent or of a wrong type. ``photos`` are addresses or paths relative to
    ``folder``; a post without an id gets one made from its contents, the same at every import.
    """
    notes = Notes(where)
    photos = _read_photos(raw.get("photos"), folder, notes)
    return SourcePost(
        external_id=_read_id(raw, notes),
        caption=_read_caption(raw.get("caption"), max_caption_chars, notes),
        photos=photos,
        posted_at=notes.read(parse_date, raw.get("posted_at"), "invalid-date"),
        likes=notes.read(parse_count, raw.get("likes"), "invalid-likes"),
        comments=notes.read(parse_count, raw.get("comments"), "invalid-comments"),
        truth=read_truth(raw.get("category"), notes),
        problems=tuple(notes.problems),
    )


def read_truth(value: object, notes: Notes) -> tuple[str, ...] | None:
    """Return the categories that came with the data as far as we know them, noting the others."""
    ours, strange = notes.read(sort_categories, value, "invalid-categories") or (None, ())
    if strange:
        named = ", ".join(shorten(name, 30) for name in strange[:5])
        notes.add("unknown-category", f"Not one of our categories, and dropped: {named}.")
    return ours


def _read_id(raw: Mapping[str, object], notes: Notes) -> str:
    value = raw.get("id")
    name = None if value is None or value == "" else notes.read(parse_name, value, "invalid-id")
    if name is not None:
        return name
    contents = repr([raw.get(key) for key in ("caption", "photos", "posted_at")])
    return f"made-{hashlib.sha256(contents.encode('utf-8', 'replace')).hexdigest()[:20]}"


def _read_caption(value: object, max_chars: int, notes: Notes) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        notes.add("invalid-caption", f"The caption is no text but a {type(value).__name__}.")
        return ""
    caption = clean_text(value)
    if len(caption) > max_chars:
        notes.add("caption-cut", f"{len(caption):,} characters cut to {max_chars:,}.")
    return caption[:max_chars]


def _read_photos(value: object, folder: Path, notes: Notes) -> tuple[SourcePhoto, ...]:
    if value is None or value == "":
        return ()
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list):
        notes.add("invalid-photo", "The photos are no list of file names or addresses.")
        return ()
    photos = []
    for entry in entries:
        try:
            photos.append(_read_photo(entry, folder))
        except PhotoError as error:
            notes.add(error.reason, str(error))
    return tuple(photos)


def _read_photo(entry: object, folder: Path) -> SourcePhoto:
    name = clean_text(entry).strip() if isinstance(entry, str) else ""
    if not name:
        raise PhotoError("invalid-photo", "A photo is no file name or address.")
    if scheme := _SCHEME.match(name):
        if scheme[0].lower() not in {"http://", "https://"} or len(name) > MAX_URL_CHARS:
            detail = f"{shorten(name)} is no address we fetch: use http or https."
            raise PhotoError("unsupported-url", detail)
        return SourcePhoto(url=name)
    return SourcePhoto(path=find_file(folder, name))

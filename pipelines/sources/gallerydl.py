"""Posts as gallery-dl saves them: ``<media id>.jpg`` with ``<media id>.jpg.json`` beside it."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.sources.metadata import DumpPost, dig, first_of, read_metadata, unhide
from pipelines.sources.paths import PHOTO_SUFFIXES, has_photo_name
from pipelines.sources.values import make_problem
from schemas.posts import Problem

_VIDEO_SUFFIXES = frozenset({".mp4", ".webm", ".mov", ".m4v"})
_MEDIA = re.compile(r"(?:.*/)?(?:(?P<album>\d{6,})_)?(?P<media>\d{6,})p?")
_NOT_POSTS = frozenset({"avatar", "info", "stories", "highlights", "story", "highlight"})


@dataclass
class _Group:
    """What was saved of one post: photos in album order, and one file's metadata."""

    photos: list[tuple[float, str]] = field(default_factory=list)
    metadata: object = None


def claim_gallerydl(names: Sequence[str]) -> set[str]:
    """Return those of ``names`` that are gallery-dl's: described media and bare media ids."""
    there = set(names)
    claimed = set()
    for name in names:
        media = name.removesuffix(".json")
        suffix = Path(media).suffix.lower()
        is_media = suffix in PHOTO_SUFFIXES or suffix in _VIDEO_SUFFIXES
        if is_media and (f"{media}.json" in there or _MEDIA.fullmatch(media[: -len(suffix)])):
            claimed.add(name)
    return claimed


def read_gallerydl(folder: Path, names: Collection[str]) -> Iterator[DumpPost | Problem]:
    """Stream the posts among ``names``, which are relative to ``folder``.

    Metadata are optional; without them a post is its media id and its photos. Videos are passed
    over (the tool saves no thumbnails unless told to), their captions kept.
    """
    groups: dict[str, _Group] = {}
    for name in sorted(name for name in names if not name.endswith(".json")):
        metadata: object = None
        if f"{name}.json" in names:
            try:
                metadata = read_metadata(folder, f"{name}.json")
            except ValueError as error:
                where = f"{folder.name}/{name}.json"
                detail = f"The metadata cannot be read: {error}."
                yield make_problem(where=where, reason="bad-metadata", detail=detail)
        if dig(metadata, "subcategory") not in _NOT_POSTS:
            group = groups.setdefault(_find_key(name, metadata), _Group())
            group.metadata = first_of(group.metadata, metadata)
            if has_photo_name(name):
                group.photos.append((_find_place(metadata), name))
    for key, group in groups.items():
        yield DumpPost(dig(group.metadata, "username"), key, _read_post(key, group))


def _find_key(name: str, metadata: object) -> str:
    """Return what the files of one post share; the name first, as metadata may be missing."""
    if match := _MEDIA.fullmatch(name.rpartition(".")[0]):
        return match["album"] or match["media"]
    known = first_of(dig(metadata, "post_shortcode"), dig(metadata, "post_id"))
    return str(first_of(known, dig(metadata, "shortcode"), name))


def _find_place(metadata: object) -> float:
    number = dig(metadata, "num")
    return number if isinstance(number, int) else 0


def _read_post(key: str, group: _Group) -> dict[str, object]:
    saved = group.metadata
    comments = dig(saved, "comments")
    return {
        "id": first_of(dig(saved, "post_shortcode"), dig(saved, "shortcode"), key),
        "caption": dig(saved, "description"),
        "photos": [name for _, name in sorted(group.photos)],
        "posted_at": first_of(dig(saved, "post_date"), dig(saved, "date")),
        "likes": unhide(dig(saved, "likes")),
        "comments": comments if isinstance(comments, int) else None,
    }

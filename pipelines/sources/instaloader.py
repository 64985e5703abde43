"""Posts as Instaloader saves them: ``<date>_UTC.jpg``, ``_1.jpg…``, ``.txt``, ``.json.xz``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.sources.metadata import (
    DumpPost,
    DumpProfile,
    dig,
    first_of,
    read_metadata,
    unhide,
)
from pipelines.sources.paths import has_photo_name, resolve_inside
from pipelines.sources.values import make_problem
from schemas.posts import Problem

_NOT_OF_A_POST = re.compile(
    r"(_profile_pic|_cover|_comments|_location|_old_\d\d)\.[^/]+$|(^|/)(iterator_|resume_)[^/]*$"
)
_METADATA = re.compile(r"(?P<base>.+)\.json(\.xz)?")
_DATED = re.compile(r"(?P<base>.*\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_UTC)(_(?P<number>\d{1,3}))?")
_NUMBERED = re.compile(r"(?P<base>.+)_(?P<number>\d{1,3})")
_MAX_CAPTION_BYTES = 8 * 2**20


@dataclass
class _Files:
    """The files of one post; photos with their place in the album."""

    photos: list[tuple[int, str]] = field(default_factory=list)
    metadata: str | None = None
    caption: str | None = None


def read_instaloader(
    folder: Path, names: Sequence[str]
) -> Iterator[DumpPost | DumpProfile | Problem]:
    """Stream the posts and the profile among ``names``, which are relative to ``folder``.

    Where metadata were saved any file name pattern is understood, else only the tool's usual one.
    Videos are passed over, but the thumbnail of a video counts as its photo.
    """
    names = [name for name in names if not _NOT_OF_A_POST.search(name)]
    groups, strangers = _group(names)
    for name in strangers:
        detail = "Neither named like a post's photo nor described by metadata beside it."
        yield make_problem(where=f"{folder.name}/{name}", reason="unrecognised-file", detail=detail)
    for base, files in groups.items():
        yield from _read_group(folder, base, files)


def _group(names: Sequence[str]) -> tuple[dict[str, _Files], list[str]]:
    groups: dict[str, _Files] = {}
    for name in names:
        if match := _METADATA.fullmatch(name):
            groups.setdefault(match["base"], _Files()).metadata = name
    strangers = []
    for name in names:
        stem = name.rpartition(".")[0]
        base, number = _find_base(stem, groups)
        if name.endswith(".txt") and base == stem:
            groups.setdefault(base, _Files()).caption = name
        elif has_photo_name(name) and base is None:
            strangers.append(name)
        elif has_photo_name(name) and base is not None:
            groups.setdefault(base, _Files()).photos.append((number, name))
    return groups, strangers


def _find_base(stem: str, groups: dict[str, _Files]) -> tuple[str | None, int]:
    """Return the name that a post's files share, and the file's place in the album."""
    numbered = _NUMBERED.fullmatch(stem)
    if stem in groups:
        return stem, 0
    if numbered and numbered["base"] in groups:
        return numbered["base"], int(numbered["number"])
    if dated := _DATED.fullmatch(stem):
        return dated["base"], int(dated["number"] or 0)
    return None, 0


def _read_group(
    folder: Path, base: str, files: _Files
) -> Iterator[DumpPost | DumpProfile | Problem]:
    saved: object = None
    if files.metadata is not None:
        try:
            saved = read_metadata(folder, files.metadata)
        except ValueError as error:
            where = f"{folder.name}/{files.metadata}"
            detail = f"The metadata cannot be read: {error}."
            yield make_problem(where=where, reason="bad-metadata", detail=detail)
    caption = None
    if files.caption is not None:
        try:
            caption = _read_text(folder, files.caption)
        except OSError as error:
            where, detail = f"{folder.name}/{files.caption}", f"Unreadable: {error}."
            yield make_problem(where=where, reason="unreadable-caption", detail=detail)
    kind = first_of(dig(saved, "instaloader", "node_type"), "Post")
    node = first_of(dig(saved, "node"), saved)
    shortcode = first_of(dig(node, "shortcode"), dig(node, "code"))
    if kind == "Profile":
        yield DumpProfile(dig(node, "username"), dig(node, "edge_followed_by", "count"))
    elif kind == "Post" and (files.photos or files.caption or shortcode):
        raw = {"id": first_of(shortcode, base), **_read_post(base, files, node, caption)}
        yield DumpPost(dig(node, "owner", "username"), base, raw)


def _read_post(base: str, files: _Files, node: object, caption: str | None) -> dict[str, object]:
    likes = first_of(
        dig(node, "edge_media_preview_like", "count"),
        dig(node, "edge_liked_by", "count"),
        dig(node, "likes", "count"),
        dig(node, "iphone_struct", "like_count"),
    )
    comments = first_of(
        dig(node, "edge_media_to_parent_comment", "count"),
        dig(node, "edge_media_to_comment", "count"),
        dig(node, "comments", "count"),
        dig(node, "iphone_struct", "comment_count"),
    )
    taken = first_of(dig(node, "taken_at_timestamp"), dig(node, "date"), _read_date(base))
    return {
        "caption": first_of(_read_caption(node), caption),
        "photos": [name for _, name in sorted(files.photos)],
        "posted_at": taken,
        "likes": unhide(likes),
        "comments": unhide(comments),
    }


def _read_caption(node: object) -> object:
    return first_of(
        dig(node, "edge_media_to_caption", "edges", 0, "node", "text"),
        dig(node, "caption", "text"),
        dig(node, "caption"),
    )


def _read_text(folder: Path, name: str) -> str:
    path = resolve_inside(folder, name)
    if path is None or not path.is_file():
        raise OSError("it is no file of this folder")
    with path.open("rb") as file:
        return file.read(_MAX_CAPTION_BYTES).decode("utf-8-sig", "replace").strip()


def _read_date(base: str) -> str | None:
    """Return the moment in a file name such as ``2026-01-31_12-00-00_UTC``, as ISO 8601."""
    match = re.search(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)_UTC$", base)
    return f"{match[1]}T{match[2]}:{match[3]}:{match[4]}Z" if match else None

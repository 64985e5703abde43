"""Posts of the Graph API: photos, albums and videos, with addresses that soon expire."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.sources.assemble import Notes, build_post
from pipelines.sources.http import looks_fetchable
from pipelines.sources.metadata import dig, first_of, unhide
from pipelines.sources.values import (
    clean_text,
    make_problem,
    parse_count,
    parse_date,
    parse_name,
)
from schemas.crawls import FoundPhoto, FoundPost, MediaKind, Page
from schemas.posts import Problem, SourcePost

_CHILDREN = "children{media_url,media_type}"
FIELDS = (
    f"id,caption,media_type,media_url,permalink,timestamp,like_count,comments_count,{_CHILDREN}"
)
"""No ``thumbnail_url``: asked for where it does not exist it fails the whole call."""

_KINDS: Mapping[object, MediaKind] = {"CAROUSEL_ALBUM": "album", "VIDEO": "video"}
_VIDEO = "VIDEO"
_INSTAGRAM = "https://www.instagram.com"


def read_posts(
    value: object, *, next_page: str | None, total: int | None = None, username: str | None = None
) -> Page[FoundPost]:
    """Read a list of media; entries without an id are problems of the page."""
    posts: dict[str, FoundPost] = {}
    problems: list[Problem] = []
    for number, entry in enumerate(value if isinstance(value, list) else [], 1):
        item = read_post(entry, where=f"post {number}", username=username)
        if isinstance(item, Problem):
            problems.append(item)
        else:
            posts.setdefault(item.external_id, item)
    return Page[FoundPost](
        items=tuple(posts.values()), next=next_page, total=total, problems=tuple(problems)
    )


def read_post(entry: object, *, where: str, username: str | None = None) -> FoundPost | Problem:
    """Read one medium. A video has no photo unless a thumbnail came with it."""
    try:
        post_id = parse_name(dig(entry, "id"))
    except ValueError as error:
        return make_problem(where, "invalid-post", str(error))
    notes = Notes(f"instagram {post_id}")
    permalink = _read_link(dig(entry, "permalink"))
    caption = dig(entry, "caption")
    return FoundPost(
        external_id=post_id,
        kind=_read_kind(entry),
        caption=clean_text(caption) if isinstance(caption, str) else "",
        username=username,
        permalink=permalink,
        posted_at=notes.read(parse_date, dig(entry, "timestamp"), "invalid-date"),
        likes=notes.read(parse_count, unhide(dig(entry, "like_count")), "invalid-likes"),
        comments=notes.read(parse_count, unhide(dig(entry, "comments_count")), "invalid-comments"),
        photos=_read_photos(entry, post_id, permalink, username, notes),
        problems=tuple(notes.problems),
    )


def to_source_post(post: FoundPost, *, max_caption_chars: int = 10_000) -> SourcePost:
    """Turn a found post into what files and folders of saved posts are read as, too."""
    built = build_post(
        {
            "id": post.external_id,
            "caption": post.caption,
            "photos": [photo.url for photo in post.photos],
            "posted_at": post.posted_at.isoformat() if post.posted_at else None,
            "likes": post.likes,
            "comments": post.comments,
        },
        where=f"instagram {post.external_id}",
        folder=Path(),
        max_caption_chars=max_caption_chars,
    )
    return built.model_copy(update={"problems": (*post.problems, *built.problems)})


def _read_kind(entry: object) -> MediaKind:
    if isinstance(dig(entry, "children", "data"), list):
        return "album"
    media_type = dig(entry, "media_type")
    return _KINDS.get(media_type, "photo") if isinstance(media_type, str) else "photo"


def _read_photos(
    entry: object, post_id: str, permalink: str | None, username: str | None, notes: Notes
) -> tuple[FoundPhoto, ...]:
    children = dig(entry, "children", "data")
    media = children if isinstance(children, list) and children else [entry]
    photos = []
    for number, medium in enumerate(media, 1):
        is_video = dig(medium, "media_type") == _VIDEO
        # The media_url of a video is the video.
        named = dig(medium, "thumbnail_url" if is_video else "media_url")
        url = _read_link(named)
        if url is not None:
            photos.append(
                FoundPhoto(
                    source="instagram",
                    external_id=_name_photo(medium, post_id, number),
                    url=url,
                    page=permalink,
                    photographer=username or "",
                    photographer_url=f"{_INSTAGRAM}/{username}/" if username else None,
                )
            )
        elif not is_video or named is not None:
            notes.add("missing-url", f"Photo {number} came without an address to fetch it from.")
    return tuple(photos)


def _name_photo(medium: object, post_id: str, number: int) -> str:
    try:
        return parse_name(first_of(dig(medium, "id"), f"{post_id}_{number}"))
    except ValueError:
        return f"{post_id}_{number}"


def _read_link(value: object) -> str | None:
    text = clean_text(value).strip() if isinstance(value, str) else ""
    return text if looks_fetchable(text) else None

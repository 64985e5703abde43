"""What a page named, stored: addresses to fetch and what for, posts, and lists below it."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from pipelines.sources.http import redact
from pipelines.sources.instagram import to_source_post
from schemas.crawls import FoundPhoto, FoundPost
from schemas.posts import Problem
from schemas.runs import Run
from storage.accounts import NewPost, PhotoPlace, find_places, save_account
from storage.crawl_counts import count_in_flight, count_photos
from storage.crawl_parts import NewPart, Part, add_parts, keep_page
from storage.crawl_urls import NewUrl, Use, add_urls
from storage.problems import add_problems
from storage.refreshes import known_posts
from storage.runs import is_current, read_run
from storage.tagged import NewTaggedPost, save_tagged_posts
from tasks.context import Context
from tasks.crawl_pages import POSTED, Listing, Place, read_place
from tasks.crawl_settle import fulfil
from tasks.ingest import hash_caption

IDLE_PAGES = 3
"""After as many pages in a row without anything new a list is at its end, whatever it says."""

PAGES_REMEMBERED = 400
"""More than any account or tag has."""


def keep_listing(resources: Context, run: Run, part: Part, listing: Listing) -> int:
    """Store a page in one transaction; return how many addresses of it are new to the crawl.

    Nothing of a crawl that has ended since the page was asked for: its totals are kept already.
    """
    most = _room_for_posts(run, part)
    posts = listing.posts if most is None else listing.posts[:most]
    caught_up = False
    with resources.database.write() as connection:
        if not is_current(read_run(connection, run.id, lock=True), run.generation):
            return 0
        if part.kind == "tag":
            found = _keep_tagged(connection, run, part, posts)
        elif part.kind == "account" and run.params.get("refresh"):
            found, caught_up = _keep_news(connection, resources, listing, posts)
        elif part.kind == "account":
            found = _keep_account(connection, resources, listing, posts)
        else:
            found = [
                _wanted(photo, use) for photo in listing.photos for use in _uses(run, part, photo)
            ]
        room = _room_for_photos(connection, run)
        new, served = add_urls(connection, run.id, part.id, found, room=room)
        fulfil(connection, str(run.params.get("source", "")), served)
        below = [
            NewPart(kind="synset", name=name, category=part.category) for name in listing.below
        ]
        add_parts(connection, run.id, below)
        add_problems(
            connection, f"crawl {run.id}", [(_shorten(one, part), None) for one in listing.problems]
        )
        idle = _brings_nothing(part, listing, new)
        endless = idle and part.idle_pages + 1 >= IDLE_PAGES
        full = most is not None and len(listing.posts) >= most
        ended = endless or caught_up or full
        keep_page(
            connection,
            part,
            cursor=None if ended else _write_place(part, listing),
            found=len(posts) if part.kind in POSTED else new,
            idle=idle,
            problem=f"{IDLE_PAGES} pages in a row brought nothing new." if endless else None,
        )
    return new


def _keep_news(
    connection: Connection, resources: Context, listing: Listing, posts: Sequence[FoundPost]
) -> tuple[list[NewUrl], bool]:
    """Store a page of a known account if one of its posts, newest first, is new; else its end."""
    assert listing.account is not None, "a page of an account names it"  # noqa: S101
    known = known_posts(connection, listing.account.username, [one.external_id for one in posts])
    if known is None:
        # Erased while it was asked for.
        return [], True
    caught_up = all(post.external_id in known for post in posts)
    kept = () if caught_up else posts
    return _keep_account(connection, resources, listing, kept), caught_up


def _brings_nothing(part: Part, listing: Listing, new: int) -> bool:
    """Whether a page has nothing that its list did not have before.

    Posts are known by their ids: their photos' addresses are new each time they are asked for.
    """
    if part.kind in POSTED:
        place = read_place(part)
        if place is None:
            # Of a tag nothing but its id was asked yet.
            return part.kind == "account" and not listing.posts
        return not listing.posts or _hash_page(listing) in place.seen
    return not new and part.kind in ("search", "pages")


def _write_place(part: Part, listing: Listing) -> str | None:
    if part.kind not in POSTED or listing.cursor is None:
        return listing.cursor
    place = read_place(part)
    seen = (*(place.seen if place else ()), _hash_page(listing))[-PAGES_REMEMBERED:]
    return Place(at=listing.cursor, seen=seen).model_dump_json()


def _hash_page(listing: Listing) -> str:
    ids = "\n".join(post.external_id for post in listing.posts)
    return hashlib.sha256(ids.encode("utf-8", "replace")).hexdigest()[:12]


def _room_for_photos(connection: Connection, run: Run) -> dict[str, int] | None:
    """How many more photos of each category are wanted; None: all."""
    limit = run.params.get("limit")
    if not limit:
        return None
    taken = Counter(count_in_flight(connection, run.id))
    taken.update(count_photos(connection, run.id))
    return {name: limit - taken[name] for name in run.params["categories"]}


def _room_for_posts(run: Run, part: Part) -> int | None:
    """How many more posts of an account or tag are wanted; None: all."""
    most = run.params.get("posts")
    return max(most - part.found, 0) if most and part.kind in POSTED else None


def _uses(run: Run, part: Part, photo: FoundPhoto) -> list[Use]:
    """The categories that a listed photo is an example of."""
    if part.kind != "files":
        return [Use(use="example", category=part.category)]
    # The id of a photo begins with that of its synset.
    wnids: Mapping[str, Sequence[str]] = run.params["wnids"]
    names = wnids.get(photo.external_id.partition("_")[0], ())
    return [Use(use="example", category=name) for name in names]


def _keep_tagged(
    connection: Connection, run: Run, part: Part, posts: Sequence[FoundPost]
) -> list[NewUrl]:
    source = str(run.params.get("source", ""))
    ids = save_tagged_posts(
        connection,
        [
            NewTaggedPost(
                source=source,
                external_id=post.external_id[:200],
                tag=part.name,
                category=part.category,
                caption=post.caption,
                caption_sha256=hash_caption(post.caption),
                username=post.username,
                posted_at=post.posted_at,
                photos=tuple(photo.url for photo in post.photos),
            )
            for post in posts
        ],
    )
    return [
        _wanted(photo, Use(use="tagged", target=ids[post.external_id[:200]], position=position))
        for post in posts
        for position, photo in enumerate(post.photos)
    ]


def _keep_account(
    connection: Connection,
    resources: Context,
    listing: Listing,
    posts: Sequence[FoundPost],
) -> list[NewUrl]:
    account = listing.account
    assert account is not None, "a page of an account names it"  # noqa: S101
    limit = resources.settings.max_caption_chars
    read = [to_source_post(post, max_caption_chars=limit) for post in posts]
    known = find_places(connection, account.username, [post.external_id for post in read])
    ids = save_account(
        connection,
        username=account.username,
        followers=account.followers,
        imported_from="instagram",
        new_posts=[
            NewPost(
                external_id=post.external_id,
                caption=post.caption,
                caption_sha256=hash_caption(post.caption),
                posted_at=post.posted_at,
                likes=post.likes,
                comments=post.comments,
                photos=_places(found.photos, known.get(post.external_id, ())),
            )
            for post, found in zip(read, posts, strict=True)
        ],
    )
    problems = [(problem, ids[post.external_id]) for post in read for problem in post.problems]
    add_problems(connection, "instagram", problems)
    return [
        _wanted(photo, Use(use="post", target=ids[post.external_id], position=position))
        for post, found in zip(read, posts, strict=True)
        for position, (photo, place) in enumerate(
            zip(found.photos, _places(found.photos, known.get(post.external_id, ())), strict=True)
        )
        if place.sha256 is None
    ]


def _places(photos: Sequence[FoundPhoto], known: Sequence[PhotoPlace]) -> tuple[PhotoPlace, ...]:
    """Where a post's photos stand: one that is stored is not fetched again from a fresh address.

    Instagram signs its addresses anew each time; what they lead to keeps its path.
    """
    stored = {_path(place.url): place for place in known if place.url is not None and place.sha256}
    return tuple(stored.get(_path(photo.url), PhotoPlace(url=photo.url)) for photo in photos)


def _wanted(photo: FoundPhoto, use: Use) -> NewUrl:
    return NewUrl(
        url=photo.url,
        host=urlsplit(photo.url).netloc.rpartition("@")[2].lower(),
        external_id=photo.external_id,
        credit=describe_credit(photo),
        category=use.category,
        use=use,
    )


def describe_credit(photo: FoundPhoto) -> str:
    """Say whose photo it is and where it is shown, as its source's terms ask for."""
    by = f"{photo.photographer} ({photo.source})" if photo.photographer else ""
    return " · ".join(part for part in (by, photo.page or "") if part)


def _path(url: str | None) -> str:
    split: Any = urlsplit(url or "")
    return f"{split.netloc}{split.path}"


def _shorten(problem: Problem, part: Part) -> Problem:
    where = f"{part.kind} {part.name}: {redact(problem.where)}"
    return problem.model_copy(update={"where": where})

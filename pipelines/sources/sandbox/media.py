"""What is posted on the sandbox's Instagram: posts by tag and by account, addresses that expire."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from aiohttp import web

from pipelines.sources.samples.accounts import Fault, PlannedPost
from pipelines.sources.samples.canvas import seed_random
from pipelines.sources.samples.captions import compose_caption
from pipelines.sources.sandbox.bombs import PAGE
from pipelines.sources.sandbox.library import Subject
from pipelines.sources.sandbox.misbehaviours import Server
from pipelines.sources.sandbox.vocabulary import Term, list_terms
from pipelines.sources.sandbox.world import World
from schemas.categories import OTRA, known_categories

Kind = Literal["IMAGE", "VIDEO", "CAROUSEL_ALBUM"]

PERMALINKS = "https://www.instagram.com/p/"
_ALBUMS, _VIDEOS, _SILENT, _SOUNDS, _WITHHELD_OF = 0.1, 0.08, 0.05, 0.02, 0.5
_RECENT_MINUTES = 23 * 60
_ID = re.compile(r"/(1[78])([0-9]{5})([0-9]{6})([0-9]{4})_n\.(?:jpg|heic|mp4)\Z")
_TAGGED, _OWN = "17", "18"
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Media:
    """One post; ``photos`` is how many an album has (0 where it is none)."""

    id: str
    kind: Kind
    caption: str
    category: str
    photos: int
    has_url: bool
    posted_at: datetime
    likes: int
    comments: int


def tagged_media(world: World, term: Term, number: int) -> Media:
    """Post ``number`` of a tag; the first ``posts_per_tag`` are of the last 24 hours."""
    luck = world.draw("kind", term.text, number)
    album = luck < _ALBUMS
    video = _ALBUMS <= luck < _ALBUMS + _VIDEOS
    withheld = video or 1 - luck < _SOUNDS
    category = _choose_category(world, term, number)
    count = world.content.posts_per_tag
    minutes = number * _RECENT_MINUTES // max(1, count)
    if number >= count:
        minutes = 24 * 60 * (2 + int(300 * world.draw("age", term.text, number)))
    return Media(
        id=f"{_TAGGED}{term.number:05d}{number:06d}0000",
        kind="CAROUSEL_ALBUM" if album else "VIDEO" if video else "IMAGE",
        caption=_write_caption(world, term, number, category),
        category=category,
        photos=2 + int(3 * world.draw("album", term.text, number)) if album else 0,
        # Albums have none, some videos (with music) neither, and now and then a photo.
        has_url=not album
        and not (withheld and world.draw("url", term.text, number) < _WITHHELD_OF),
        posted_at=world.started - timedelta(minutes=minutes),
        likes=int(5_000 * world.draw("likes", term.text, number) ** 3),
        comments=int(200 * world.draw("comments", term.text, number) ** 2),
    )


def _choose_category(world: World, term: Term, number: int) -> str:
    if world.draw("noise", term.text, number) >= world.content.noise_share:
        return term.category
    others = [name for name in (*known_categories(), OTRA) if name != term.category]
    return others[int(world.draw("stray", term.text, number) * len(others))]


def _write_caption(world: World, term: Term, number: int, category: str) -> str:
    if world.draw("silent", term.text, number) < _SILENT:
        return f"#{term.text.replace(' ', '')}"
    random = seed_random(f"{world.content.seed}/caption/{term.text}/{number}")
    caption = compose_caption(category, random)
    tag = f"#{term.text.replace(' ', '')}"
    return caption if tag in caption.split() else f"{caption} {tag}"


def account_media(world: World, number: int) -> list[Media]:
    """The posts of account ``number``, newest first."""
    account = world.accounts[number]
    posts = [_own_media(number, place, post) for place, post in enumerate(account.posts)]
    return sorted(posts, key=lambda post: post.posted_at, reverse=True)


def _own_media(number: int, place: int, post: PlannedPost) -> Media:
    kind: Kind = "CAROUSEL_ALBUM" if post.photos > 1 else "IMAGE" if post.photos else "VIDEO"
    return Media(
        id=f"{_OWN}{number:05d}{place:06d}0000",
        kind=kind,
        caption=post.caption,
        category=post.category,
        photos=post.photos if post.photos > 1 else 0,
        has_url=kind == "IMAGE",
        posted_at=datetime.fromisoformat(post.posted_at),
        likes=post.likes,
        comments=post.comments,
    )


def describe_media(world: World, media: Media) -> dict[str, object]:
    """A post with all of its fields."""
    described: dict[str, object] = {
        "id": media.id,
        "media_type": media.kind,
        "permalink": _name_page(media.id),
        "timestamp": media.posted_at.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "like_count": media.likes,
        "comments_count": media.comments,
    }
    if media.caption:
        described["caption"] = media.caption
    if media.has_url:
        described["media_url"] = sign_address(world, media.id, media.kind)
    if media.photos:
        described["children"] = [
            _describe_child(world, media.id, child) for child in range(1, media.photos + 1)
        ]
    return described


def _describe_child(world: World, parent: str, child: int) -> dict[str, object]:
    own = f"{parent[:-4]}{child:04d}"
    return {
        "id": own,
        "media_type": "IMAGE",
        "media_url": sign_address(world, own, "IMAGE"),
        "permalink": _name_page(own),
    }


def _name_page(media_id: str) -> str:
    number, code = int(media_id), ""
    while number:
        number, rest = divmod(number, len(_BASE64))
        code = _BASE64[rest] + code
    return f"{PERMALINKS}{code}/"


def sign_address(world: World, media_id: str, kind: Kind) -> str:
    """The address of a photo or video: signed, and good for the plan's ``media_ttl_s``."""
    heic = kind == "IMAGE" and int(media_id[-6:-4]) % 5 == 0
    ending = "mp4" if kind == "VIDEO" else "heic" if heic else "jpg"
    path = f"/v/t51.2885-15/{media_id}_n.{ending}"
    expires = f"{max(0, int(world.clock() + world.plan.media_ttl_s)):X}"
    served_as = "stp=dst-jpg&" if heic else ""
    query = f"{served_as}_nc_cat=109&_nc_ht=sandbox&oh={_sign(world, path, expires)}&oe={expires}"
    return f"{world.bases[Server.INSTAGRAM_PHOTOS]}{path}?{query}"


def check_address(world: World, request: web.Request) -> web.Response | None:
    """The refusal of an address that has expired or was tampered with."""
    expires = request.query.get("oe", "")
    if request.query.get("oh") != _sign(world, request.path, expires):
        return web.Response(status=403, text="Bad URL hash")
    if int(expires, 16) <= world.clock():
        return web.Response(status=403, text="URL signature expired")
    return None


def _sign(world: World, path: str, expires: str) -> str:
    return hashlib.sha256(f"{world.content.seed}{path}{expires}".encode()).hexdigest()[:32]


def find_subject(world: World, path: str) -> Subject | None:
    """What the photo at a path of the CDN shows."""
    match = _ID.search(path)
    if match is None:
        return None
    owner, number, child = int(match[2]), int(match[3]), int(match[4])
    if match[1] == _OWN:
        if owner >= len(world.accounts) or number >= len(world.accounts[owner].posts):
            return None
        account = world.accounts[owner]
        series = f"instagram/{account.username}/{account.posts[number].id}"
        return Subject(account.posts[number].category, series, child)
    terms = list_terms()
    if owner >= len(terms):
        return None
    category = _choose_category(world, terms[owner], number)
    return Subject(category, f"instagram/{terms[owner].text}/{number}", child)


def find_fault(world: World, path: str) -> Fault | None:
    """What the plan of an account has wrong with the photos of a post."""
    match = _ID.search(path)
    if match is None or match[1] != _OWN or int(match[2]) >= len(world.accounts):
        return None
    posts = world.accounts[int(match[2])].posts
    return posts[int(match[3])].fault if int(match[3]) < len(posts) else None


def spoil(fault: Fault, body: bytes) -> web.Response:
    """A photo with a fault."""
    if fault == "missing":
        return web.Response(status=404, body=PAGE, content_type="text/html")
    if fault == "html":
        return web.Response(body=PAGE, content_type="image/jpeg")
    return web.Response(body=body[: len(body) // 3], content_type="image/jpeg")

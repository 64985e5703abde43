"""A few photos for each account of a list: those that speak for its largest category."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, and_, select

from schemas.verdicts import Verdict
from storage.standings import Standing, main_verdict
from storage.tables import post_photos, verdicts

PHOTOS = 4


def read_covers(connection: Connection, found: Iterable[Standing]) -> dict[int, tuple[str, ...]]:
    """Return up to four photos an account, from the evidence of its verdict in force."""
    chosen: dict[int, list[int]] = {}
    for standing in found:
        query = select(verdicts.c.verdicts).where(
            verdicts.c.influencer_id == standing.influencer_id,
            verdicts.c.bundle_id == standing.bundle_id,
            verdicts.c.run_id == standing.run_id,
        )
        stored = connection.scalar(query)
        verdict = main_verdict([Verdict.model_validate(one) for one in stored or ()])
        if verdict is not None:
            chosen[standing.influencer_id] = _evidence(verdict)
    photos = first_photos(connection, [post for posts in chosen.values() for post in posts])
    return {
        key: tuple(dict.fromkeys(photos[post] for post in posts if post in photos))[:PHOTOS]
        for key, posts in chosen.items()
    }


def first_photos(connection: Connection, post_ids: Collection[int]) -> dict[int, str]:
    """Return the first stored photo of posts, for those that have one."""
    query = (
        select(post_photos.c.post_id, post_photos.c.photo_sha256)
        .where(and_(post_photos.c.post_id.in_(post_ids), post_photos.c.photo_sha256.is_not(None)))
        .order_by(post_photos.c.post_id, post_photos.c.position.desc())
    )
    return {post_id: sha256 or "" for post_id, sha256 in connection.execute(query)}


def _evidence(verdict: Verdict) -> list[int]:
    """Return posts of the largest categories in turn, so that each is seen."""
    lists = [share.evidence for share in verdict.shares[:2] if share.evidence]
    places = range(max(map(len, lists), default=0))
    return [posts[place] for place in places for posts in lists if place < len(posts)][: 3 * PHOTOS]

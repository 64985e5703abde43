"""A few photos for each account of a list: those that speak for its largest category."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, select

from storage.standings import Standing, main_document
from storage.tables import post_photos, verdicts

PHOTOS = 4


def read_covers(connection: Connection, found: Iterable[Standing]) -> dict[int, tuple[str, ...]]:
    """Return up to four photos an account, from the evidence of its verdict in force."""
    in_force = {one.influencer_id: (one.bundle_id, one.run_id) for one in found}
    columns = verdicts.c
    # SQLite looks for tuples among all rows; accounts have few verdicts each.
    query = select(
        columns.influencer_id, columns.bundle_id, columns.run_id, columns.verdicts
    ).where(
        columns.influencer_id.in_(in_force),
        columns.bundle_id.in_({bundle_id for bundle_id, _run_id in in_force.values()}),
        columns.run_id.in_({run_id for _bundle_id, run_id in in_force.values()}),
    )
    chosen = {
        row.influencer_id: _evidence(row.verdicts)
        for row in connection.execute(query)
        if in_force[row.influencer_id] == (row.bundle_id, row.run_id)
    }
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


def _evidence(stored: Sequence[dict[str, Any]]) -> list[int]:
    """Return posts of the largest categories in turn, so that each is seen.

    Read from the stored JSON as it is: two dozen whole verdicts a page take longer to check than
    everything else on it.
    """
    main = main_document(stored)
    lists = [share["evidence"] for share in main["shares"][:2] if share["evidence"]] if main else []
    places = range(max(map(len, lists), default=0))
    return [posts[place] for place in places for posts in lists if place < len(posts)][: 3 * PHOTOS]

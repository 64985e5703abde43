"""Accounts for measuring the machinery: as an import would leave them, without photo bytes."""

import hashlib
from datetime import UTC, datetime

from sqlalchemy import func, insert, select

from storage.tables import influencers, photos, post_photos, posts
from tasks.context import Context

ROWS = 2000


def add_accounts(resources: Context, count: int, *, posts_each: int) -> None:
    """Add so many accounts, each with so many posts of one photo and one caption."""
    with resources.database.read() as connection:
        first = (connection.scalar(select(func.max(influencers.c.id))) or 0) + 1
    step = max(1, ROWS // posts_each)
    for start in range(first, first + count, step):
        _add(resources, range(start, min(start + step, first + count)), posts_each)


def _add(resources: Context, ids: range, posts_each: int) -> None:
    now = datetime.now(UTC)
    numbers = [(account, number) for account in ids for number in range(posts_each)]
    shas = {key: hashlib.sha256(repr(key).encode()).hexdigest() for key in numbers}
    with resources.database.write() as connection:
        connection.execute(
            insert(influencers),
            [{"id": i, "username": f"s{i:08d}", "created_at": now, "updated_at": now} for i in ids],
        )
        connection.execute(
            insert(photos),
            [
                {
                    "sha256": sha256,
                    "size_bytes": 1,
                    "width": 1,
                    "height": 1,
                    "format": "jpeg",
                    "created_at": now,
                }
                for sha256 in shas.values()
            ],
        )
        rows = [
            {
                "id": account * 1000 + number,
                "influencer_id": account,
                "external_id": f"p{number}",
                "caption": f"caption {shas[account, number][:8]}",
                "caption_sha256": shas[account, number][::-1],
            }
            for account, number in numbers
        ]
        connection.execute(insert(posts), rows)
        connection.execute(
            insert(post_photos),
            [
                {"post_id": row["id"], "position": 0, "photo_sha256": shas[key]}
                for key, row in zip(numbers, rows, strict=True)
            ],
        )

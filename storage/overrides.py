"""An analyst's word on an account, kept beside the model's with its reason, never in its place."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from schemas.base import Frozen
from schemas.categories import known_categories
from schemas.errors import UsageError
from storage.web_tables import overrides


class Override(Frozen):
    """What somebody said of an account; ``categories`` None means that it was taken back."""

    categories: tuple[str, ...] | None
    reason: str
    author: str
    created_at: datetime


def add_override(
    connection: Connection,
    influencer_id: int,
    categories: Sequence[str] | None,
    *,
    reason: str,
    author: str,
) -> None:
    """Keep what an analyst says of an account; the newest counts, the older ones stay readable.

    Raises:
        UsageError: a category is unknown, or no reason is given.
    """
    unknown = sorted(set(categories or ()) - set(known_categories()))
    if unknown:
        raise UsageError(f"Unknown category {unknown[0]!r}: use {', '.join(known_categories())}.")
    if not reason.strip():
        raise UsageError("Say why: others will read the reason beside the verdict.")
    connection.execute(
        insert(overrides).values(
            influencer_id=influencer_id,
            categories=None if categories is None else list(dict.fromkeys(categories)),
            reason=reason.strip()[:2000],
            author=author,
            created_at=datetime.now(UTC),
        )
    )


def list_overrides(connection: Connection, influencer_id: int) -> list[Override]:
    """Return what was said of an account, newest first."""
    query = (
        select(overrides)
        .where(overrides.c.influencer_id == influencer_id)
        .order_by(overrides.c.id.desc())
        .limit(50)
    )
    return [
        Override(
            categories=None if row.categories is None else tuple(row.categories),
            reason=row.reason,
            author=row.author,
            created_at=row.created_at,
        )
        for row in connection.execute(query)
    ]

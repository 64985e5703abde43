"""What was wrong with the input, kept beside what was right."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from schemas.posts import Problem
from storage.database import insert_or_update
from storage.tables import problems

PLACE_CHARS = 400
"""As many as the column takes."""


def add_problems(
    connection: Connection, source: str, found: Sequence[tuple[Problem, int | None]]
) -> None:
    """Record problems of one source, each with the post that has it, if one does.

    The same problem at the same place is recorded once, however often a file is imported.
    """
    now = datetime.now(UTC)
    rows = {
        (place := _shorten(problem.where), problem.reason): {
            "source": source[:200],
            "place": place,
            "reason": problem.reason[:40],
            "detail": problem.detail[:1000],
            "post_id": post_id,
            "created_at": now,
        }
        for problem, post_id in found
    }
    insert_or_update(
        connection,
        problems,
        # In one order whoever writes them: two shards may meet the same dead address.
        [rows[key] for key in sorted(rows)],
        key=["source", "place", "reason"],
        update=["detail", "post_id"],
    )


def _shorten(place: str) -> str:
    """Fit a place into its column; two photos in one deep folder differ at the end."""
    return place if len(place) <= PLACE_CHARS else f"{place[:99]}…{place[100 - PLACE_CHARS :]}"

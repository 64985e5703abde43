"""Which words of an account's captions spoke for a category, as one bundle's text half sees it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from schemas.base import Frozen
from storage.database import insert_or_update
from storage.web_tables import word_evidence


class WordWeight(Frozen):
    """How much a word adds to a category's probability (below 0: takes away), over ``posts``."""

    word: str
    weight: float
    posts: int


def save_words(
    connection: Connection,
    influencer_id: int,
    bundle_id: str,
    words: Mapping[str, Sequence[WordWeight]],
) -> None:
    """Keep what words do for each category; found again, the newest counts."""
    row = {
        "influencer_id": influencer_id,
        "bundle_id": bundle_id,
        "words": {name: [one.model_dump() for one in found] for name, found in words.items()},
        "created_at": datetime.now(UTC),
    }
    changed = ["words", "created_at"]
    key = ["influencer_id", "bundle_id"]
    insert_or_update(connection, word_evidence, [row], key=key, update=changed)


def read_words(
    connection: Connection, influencer_id: int, bundle_id: str
) -> dict[str, tuple[WordWeight, ...]] | None:
    """Return what words do for each category; None where nobody has asked yet."""
    query = select(word_evidence.c.words).where(
        word_evidence.c.influencer_id == influencer_id, word_evidence.c.bundle_id == bundle_id
    )
    found = connection.scalar(query)
    if found is None:
        return None
    return {
        name: tuple(WordWeight.model_validate(one) for one in listed)
        for name, listed in found.items()
    }

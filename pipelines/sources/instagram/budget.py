"""Instagram's budget of tags: 30 different ones in any 7 days, an account."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pipelines.sources.instagram.tags import normalise_tag

MOST_TAGS = 30
WINDOW = timedelta(days=7)

Asked = Sequence[tuple[str, datetime]]


def next_free_tag_slot(
    asked: Asked, tag: str, now: datetime, *, most: int = MOST_TAGS
) -> datetime | None:
    """When a tag may be asked for; None: now.

    ``asked`` are the tags asked for earlier by the same account and when (with a zone), in any
    order. A tag counts for 7 days from when it was first asked for; asking again in these days
    is free and does not prolong them ("Hashtag Search", Instagram Platform documentation).

    Raises:
        UsageError: ``tag`` is no tag.
    """
    ends = _find_ends(asked, now)
    if normalise_tag(tag) in ends or len(ends) < most:
        return None
    # So many have to run out that one less than allowed is left.
    return sorted(ends.values())[len(ends) - most]


def count_tags(asked: Asked, now: datetime) -> int:
    """How many tags count towards the budget."""
    return len(_find_ends(asked, now))


def _find_ends(asked: Asked, now: datetime) -> dict[str, datetime]:
    """The tags that count at ``now``, and until when."""
    ends: dict[str, datetime] = {}
    for tag, moment in sorted(asked, key=lambda pair: pair[1]):
        name = normalise_tag(tag)
        if name not in ends or moment >= ends[name]:
            ends[name] = moment + WINDOW
    return {tag: end for tag, end in ends.items() if end > now}

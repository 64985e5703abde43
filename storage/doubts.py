"""Doubted labels: what a model did not believe, what people said of it, and what comes of that."""

from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Literal

from sqlalchemy import Connection, func, select, tuple_, update

from schemas.base import Frozen
from schemas.categories import OTRA, known_categories
from schemas.errors import NotFoundError, UsageError
from schemas.posts import Label
from storage.crawl_tables import tagged_post_photos, tagged_posts
from storage.database import insert_or_update
from storage.labels import REVIEWER, add_labels
from storage.reviews import Decision
from storage.tables import photos, training_examples
from storage.training import TRAIN, NewExample, add_examples
from storage.web_tables import doubts

DoubtKind = Literal["photo", "post"]
DoubtFate = Literal["relabelled", "confirmed", "skipped"]
"""What becomes of a doubt: another label, the same one, or it waits for somebody else."""

DoubtMark = tuple[float, int]
"""Where a list of doubts ended: how much less probable the given label is, and the doubt's id."""

_LOOK_AHEAD = 50


class NewDoubt(Frozen):
    """A label that a model does not believe: a photo's (by content) or a tagged post's (by name).

    The probabilities are those of a model that was not told this label.
    """

    kind: DoubtKind
    target: str
    given: str
    suggested: str
    given_probability: float
    suggested_probability: float


class Doubt(NewDoubt):
    """A doubt that waits for a person, with what there is to be seen of it."""

    id: int
    photos: tuple[str, ...]
    caption: str
    sources: tuple[str, ...]


def add_doubts(connection: Connection, found: Sequence[NewDoubt]) -> int:
    """Send doubted labels to be reviewed; return how many wait that did not before.

    One that is known gets its newest figures, and stays settled if somebody has settled it.
    """
    before = count_doubts(connection)
    now = datetime.now(UTC)
    rows = [{**one.model_dump(), "found_at": now, "skipped_by": []} for one in found]
    insert_or_update(
        connection,
        doubts,
        rows,
        key=["kind", "target", "given"],
        update=["suggested", "given_probability", "suggested_probability"],
    )
    return count_doubts(connection) - before


def count_doubts(connection: Connection) -> int:
    """Return how many doubted labels wait to be looked at."""
    query = select(func.count()).select_from(doubts).where(doubts.c.decision.is_(None))
    return connection.scalar(query) or 0


def settled_doubts(connection: Connection) -> set[tuple[str, str, str]]:
    """Return kind, target and given label of what somebody has settled: no doubt of it is new."""
    columns = doubts.c
    query = select(columns.kind, columns.target, columns.given).where(columns.decision.is_not(None))
    return {(row.kind, row.target, row.given) for row in connection.execute(query)}


def next_doubt(connection: Connection, reviewer: str) -> Doubt | None:
    """Return the most doubtful label that this reviewer has not skipped; None: nothing is left.

    What is no longer stored, or no longer labelled so, is passed over.
    """
    with closing(_waiting(connection, reviewer, None)) as waiting:
        return next(waiting, None)


def list_doubts(
    connection: Connection, reviewer: str, *, after: DoubtMark | None, limit: int
) -> tuple[list[Doubt], DoubtMark | None]:
    """Return doubts that wait for this reviewer, most doubtful first, and where the next begin.

    Like ``next_doubt`` it leaves out what was skipped or is gone.
    """
    with closing(_waiting(connection, reviewer, after)) as waiting:
        found = list(islice(waiting, limit + 1))
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], (last.given_probability - last.suggested_probability, last.id)


def _waiting(connection: Connection, reviewer: str, after: DoubtMark | None) -> Generator[Doubt]:
    """Go through them; to be closed by who stops before the end, as the rows come in parts."""
    columns = doubts.c
    margin = columns.given_probability - columns.suggested_probability
    query = select(doubts).where(columns.decision.is_(None)).order_by(margin, columns.id)
    if after is not None:
        query = query.where(tuple_(margin, columns.id) > tuple_(*after))
    with connection.execute(query.execution_options(yield_per=_LOOK_AHEAD)) as rows:
        for row in rows:
            if reviewer in row.skipped_by:
                continue
            shown = _look(connection, row.kind, row.target, row.given)
            if shown is None:
                continue
            fields = {name: getattr(row, name) for name in (*NewDoubt.model_fields, "id")}
            yield Doubt(**fields, photos=shown[0], caption=shown[1], sources=shown[2])


def settle_doubt(
    connection: Connection,
    doubt_id: int,
    *,
    reviewer: str,
    decision: Decision,
    categories: tuple[str, ...] = (),
) -> DoubtFate:
    """Keep a reviewer's word on a doubted label: as a label, and for all trainings from now on.

    A corrected photo stays with its source under the new category (none of ours: ``otra``), and
    counts no more under the old one, however often that is imported again.

    Raises:
        NotFoundError: there is no such doubt.
        UsageError: a category is unknown.
    """
    row = connection.execute(select(doubts).where(doubts.c.id == doubt_id)).first()
    if row is None:
        raise NotFoundError(f"There is no doubted label {doubt_id}: load the page again.")
    unknown = sorted(set(categories) - set(known_categories()))
    if unknown:
        raise UsageError(f"Unknown category {unknown[0]!r}: use {', '.join(known_categories())}.")
    chosen = update(doubts).where(doubts.c.id == doubt_id)
    if decision == "skip":
        skipped = sorted({*row.skipped_by, reviewer})
        connection.execute(chosen.values(skipped_by=skipped))
        return "skipped"
    given = () if row.given == OTRA else (row.given,)
    if decision == "accept" or categories == given:
        decision, categories = "accept", given
    example = None
    if decision == "correct" and row.kind == "photo":
        example = _relabel(connection, row.target, row.given, categories)
    connection.execute(
        chosen.values(
            decision=decision,
            categories=list(categories),
            example_id=example,
            reviewer=reviewer,
            decided_at=datetime.now(UTC),
        )
    )
    labeller = f"{REVIEWER}{reviewer}"
    kind, target = row.kind, row.target
    add_labels(connection, [Label(kind=kind, id=target, categories=categories, labeller=labeller)])
    return "confirmed" if decision == "accept" else "relabelled"


def _relabel(
    connection: Connection, sha256: str, given: str, categories: tuple[str, ...]
) -> int | None:
    """Add a photo's examples once more under its true category; return the newest's id."""
    columns = training_examples.c
    own = (columns.photo_sha256 == sha256, columns.split == TRAIN)
    rows = connection.execute(
        select(columns.source, columns.caption).where(*own, columns.category == given)
    ).all()
    truth = categories[0] if categories else OTRA
    add_examples(
        connection,
        [
            NewExample(
                source=row.source,
                photo_sha256=sha256,
                category=truth,
                split=TRAIN,
                caption=row.caption,
            )
            for row in rows
        ],
    )
    newest: int | None = connection.scalar(
        select(func.max(columns.id)).where(*own, columns.category == truth)
    )
    return newest


def _look(
    connection: Connection, kind: str, target: str, given: str
) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    """Return photos, caption and sources of what a doubt is about; None if that is gone."""
    if kind == "post":
        return _look_at_post(connection, target, given)
    columns = training_examples.c
    query = (
        select(columns.source, columns.caption)
        .join(photos, photos.c.sha256 == columns.photo_sha256)
        .where(columns.photo_sha256 == target, columns.category == given, columns.split == TRAIN)
        .order_by(columns.id)
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    caption = next((row.caption for row in rows if row.caption), "")
    return (target,), caption, tuple(row.source for row in rows)


def _look_at_post(
    connection: Connection, name: str, given: str
) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    source, _, external_id = name.partition(":")
    columns = tagged_posts.c
    row = connection.execute(
        select(columns.id, columns.caption).where(
            columns.source == source,
            columns.external_id == external_id,
            columns.category == given,
        )
    ).first()
    if row is None:
        return None
    places = tagged_post_photos.c
    shown = connection.scalars(
        select(places.photo_sha256)
        .where(places.post_id == row.id, places.photo_sha256.is_not(None))
        .order_by(places.position)
    )
    return tuple(str(sha256) for sha256 in shown), row.caption, (source,)

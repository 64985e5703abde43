"""Posts that people look at: the queue, what they decided, and what becomes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, tuple_

from schemas.base import Frozen
from schemas.categories import OTRA, known_categories
from schemas.errors import NotFoundError, UsageError
from schemas.posts import Label
from storage.database import insert_or_update
from storage.labels import REVIEWER, add_labels
from storage.standings import PRIMARY
from storage.tables import (
    influencers,
    outcomes,
    post_photos,
    posts,
    training_examples,
    truth_labels,
)
from storage.training import TRAIN, NewExample, add_examples
from storage.web_tables import reviews, standings

Decision = Literal["accept", "correct", "skip"]
Fate = Literal["trains", "tested", "several", "no-photo", "skipped"]
"""What becomes of a decision: trained on, or why it is not."""

SOURCE = "review"
"""The name under which corrected photos stand among the training examples."""

LOOK_AHEAD = 25


class _Post(Frozen):
    """A post as far as a decision on it needs it; ``said`` is what the model says."""

    id: int
    external_id: str
    caption: str
    username: str
    bundle_id: str | None
    said: str | None


class Review(Frozen):
    """A decision as listed."""

    username: str
    external_id: str
    reviewer: str
    decision: Decision
    categories: tuple[str, ...]
    said: str | None
    decided_at: datetime


def next_posts(
    connection: Connection, reviewer: str, *, disputed_first: bool = False
) -> tuple[int, list[int]] | None:
    """Return the account to look at next and its posts that nobody has settled yet.

    Accounts come least certain first, or those first on whose categories the methods disagree;
    posts that this reviewer has skipped are left out. None: nothing is left.
    """
    # One value at a time, so that an index serves each: there are at most as many as categories.
    most = connection.scalar(select(func.max(standings.c.disputed))) or 0
    for disputed in range(most, -1, -1) if disputed_first else (None,):
        found = _next_of(connection, reviewer, disputed)
        if found is not None:
            return found
    return None


def _next_of(
    connection: Connection, reviewer: str, disputed: int | None
) -> tuple[int, list[int]] | None:
    """Walk accounts by certainty, a few at a time: a join would be sorted as a whole."""
    columns = standings.c
    here = tuple_(columns.certainty, columns.influencer_id)
    after: tuple[float, int] = (-1.0, 0)
    while True:
        query = select(columns.certainty, columns.influencer_id).where(here > tuple_(*after))
        if disputed is not None:
            query = query.where(columns.disputed == disputed)
        query = query.order_by(columns.certainty, columns.influencer_id).limit(LOOK_AHEAD)
        accounts = connection.execute(query).all()
        if not accounts:
            return None
        waiting = _waiting(connection, reviewer, [row.influencer_id for row in accounts])
        for row in accounts:
            if row.influencer_id in waiting:
                return row.influencer_id, waiting[row.influencer_id]
        after = (accounts[-1].certainty, accounts[-1].influencer_id)


def _waiting(connection: Connection, reviewer: str, ids: Sequence[int]) -> dict[int, list[int]]:
    settled = exists().where(
        reviews.c.post_id == posts.c.id,
        or_(reviews.c.decision != "skip", reviews.c.reviewer == reviewer),
    )
    query = (
        select(posts.c.influencer_id, posts.c.id)
        .join(standings, standings.c.influencer_id == posts.c.influencer_id)
        .join(
            outcomes,
            and_(
                outcomes.c.post_id == posts.c.id,
                outcomes.c.bundle_id == standings.c.bundle_id,
                outcomes.c.method == PRIMARY,
            ),
        )
        .where(posts.c.influencer_id.in_(ids), ~settled, outcomes.c.halves != "none")
        .order_by(posts.c.influencer_id, posts.c.id)
    )
    found: dict[int, list[int]] = {}
    for influencer_id, post_id in connection.execute(query):
        found.setdefault(influencer_id, []).append(post_id)
    return found


def decide(
    connection: Connection,
    post_id: int,
    *,
    reviewer: str,
    decision: Decision,
    categories: tuple[str, ...] = (),
) -> Fate:
    """Keep a reviewer's word on a post: as a label, and as an example for the next training.

    Nothing is trained on that something is tested with: a post whose account, whose own or whose
    photo's label was imported keeps its correction as a label only.

    Raises:
        NotFoundError: there is no such post.
        UsageError: a category is unknown.
    """
    post = _read_post(connection, post_id)
    if decision == "accept":
        categories = (post.said,) if post.said else ()
    _check(categories)
    row = {
        "post_id": post_id,
        "reviewer": reviewer,
        "decision": decision,
        "categories": list(categories),
        "bundle_id": post.bundle_id,
        "said": post.said,
        "decided_at": datetime.now(UTC),
    }
    changed = ["decision", "categories", "bundle_id", "said", "decided_at"]
    insert_or_update(connection, reviews, [row], key=["post_id", "reviewer"], update=changed)
    if decision == "skip":
        return "skipped"
    target = f"{post.username}/{post.external_id}"
    labeller = f"{REVIEWER}{reviewer}"
    label = Label(kind="post", id=target, categories=categories, labeller=labeller)
    add_labels(connection, [label])
    return _feed_training(connection, post, categories)


def count_reviews(connection: Connection) -> dict[str, int]:
    """Return how many decisions there are of each kind."""
    query = select(reviews.c.decision, func.count()).group_by(reviews.c.decision)
    return dict(connection.execute(query).all())


def list_reviews(connection: Connection, *, limit: int) -> list[Review]:
    """Return what was decided last, newest first; skips are nobody's business."""
    query = (
        select(reviews, posts.c.external_id, influencers.c.username)
        .join(posts, posts.c.id == reviews.c.post_id)
        .join(influencers, influencers.c.id == posts.c.influencer_id)
        .where(reviews.c.decision != "skip")
        .order_by(reviews.c.decided_at.desc())
        .limit(limit)
    )
    return [
        Review(
            username=row.username,
            external_id=row.external_id,
            reviewer=row.reviewer,
            decision=row.decision,
            categories=tuple(row.categories),
            said=row.said,
            decided_at=row.decided_at,
        )
        for row in connection.execute(query)
    ]


def _check(categories: tuple[str, ...]) -> None:
    unknown = sorted(set(categories) - set(known_categories()))
    if unknown:
        raise UsageError(f"Unknown category {unknown[0]!r}: use {', '.join(known_categories())}.")


def _read_post(connection: Connection, post_id: int) -> _Post:
    query = (
        select(
            posts.c.id,
            posts.c.external_id,
            posts.c.caption,
            influencers.c.username,
            standings.c.bundle_id,
            outcomes.c.category.label("said"),
        )
        .join(influencers, influencers.c.id == posts.c.influencer_id)
        .outerjoin(standings, standings.c.influencer_id == influencers.c.id)
        .outerjoin(
            outcomes,
            and_(
                outcomes.c.post_id == posts.c.id,
                outcomes.c.bundle_id == standings.c.bundle_id,
                outcomes.c.method == PRIMARY,
            ),
        )
        .where(posts.c.id == post_id)
    )
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"There is no post {post_id}: it was erased meanwhile.")
    return _Post.model_validate(dict(row))


def _feed_training(connection: Connection, post: _Post, categories: tuple[str, ...]) -> Fate:
    shown = select(post_photos.c.photo_sha256).where(
        post_photos.c.post_id == post.id, post_photos.c.photo_sha256.is_not(None)
    )
    photos = list(connection.scalars(shown))
    # What the same photos were corrected to before no longer counts.
    connection.execute(
        delete(training_examples).where(
            training_examples.c.source == SOURCE, training_examples.c.photo_sha256.in_(photos)
        )
    )
    if not photos:
        return "no-photo"
    if len(categories) > 1:
        return "several"
    if _tested(connection, post, photos):
        return "tested"
    category = categories[0] if categories else OTRA
    add_examples(
        connection,
        [
            NewExample(
                source=SOURCE,
                photo_sha256=sha256,
                category=category,
                split=TRAIN,
                caption=post.caption,
            )
            for sha256 in photos
        ],
    )
    return "trains"


def _tested(connection: Connection, post: _Post, photos: list[str]) -> bool:
    """Whether something is scored on this post, its account or one of its photos."""
    labels = truth_labels.c
    scored = select(labels.target).where(
        ~labels.labeller.startswith(REVIEWER),
        or_(
            and_(labels.kind == "account", labels.target == post.username),
            and_(labels.kind == "post", labels.target == f"{post.username}/{post.external_id}"),
            and_(labels.kind == "photo", labels.target.in_(photos)),
        ),
    )
    held_out = select(training_examples.c.id).where(
        training_examples.c.photo_sha256.in_(photos), training_examples.c.split != TRAIN
    )
    return any(connection.scalar(query.limit(1)) is not None for query in (scored, held_out))

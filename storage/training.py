"""What models are trained on: labelled photos by source and split."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, exists, func, select, true

from schemas.base import Frozen
from storage.bulk import among
from storage.database import in_parts, insert_or_update
from storage.tables import image_vectors, training_examples
from storage.web_tables import doubts

TRAIN = "train"
"""The only split that is ever trained on."""


class Example(Frozen):
    """A stored training example; ``id`` orders examples by when they came."""

    id: int
    photo_sha256: str
    category: str
    source: str
    caption: str


class NewExample(Frozen):
    """A labelled photo ready to be stored."""

    source: str
    photo_sha256: str
    category: str
    split: str
    caption: str


def add_examples(connection: Connection, examples: Sequence[NewExample]) -> None:
    """Record labelled photos; the newest split and caption of a known one count.

    The names of sources and splits are cut to what their columns hold.
    """
    unique = {
        (example.source, example.photo_sha256, example.category): {
            **example.model_dump(),
            "source": example.source[:100],
            "split": example.split[:40],
        }
        # In one order, so that two workers with the same photos never wait for each other.
        for example in sorted(examples, key=lambda one: (one.photo_sha256, one.category))
    }
    insert_or_update(
        connection,
        training_examples,
        list(unique.values()),
        key=["source", "photo_sha256", "category"],
        update=["split", "caption"],
    )


def example_pairs(
    connection: Connection, source: str, photos: Collection[str]
) -> set[tuple[str, str]]:
    """Return which of these photos are examples of a source already, each with its category."""
    columns = training_examples.c
    found: set[tuple[str, str]] = set()
    for part in in_parts(photos):
        query = select(columns.photo_sha256, columns.category).where(
            columns.source == source, among(connection, columns.photo_sha256, part)
        )
        found.update((row.photo_sha256, row.category) for row in connection.execute(query))
    return found


def newest_example(connection: Connection) -> int:
    """Return the id of the newest example, 0 if there is none: a snapshot ends there."""
    return connection.scalar(select(func.max(training_examples.c.id))) or 0


def count_examples(
    connection: Connection, categories: Collection[str], *, until: int
) -> dict[str, int]:
    """Return how many examples of the split ``train`` each category has up to an id."""
    query = (
        select(training_examples.c.category, func.count())
        .where(*_trainable(categories, until))
        .group_by(training_examples.c.category)
    )
    found: dict[str, int] = dict(connection.execute(query).all())
    return {category: found.get(category, 0) for category in categories}


def read_examples(
    connection: Connection, categories: Collection[str], *, until: int
) -> list[Example]:
    """Return the examples of the split ``train`` up to an id, in the order of their ids."""
    columns = training_examples.c
    query = (
        select(columns.id, columns.photo_sha256, columns.category, columns.source, columns.caption)
        .where(*_trainable(categories, until))
        .order_by(columns.id)
    )
    return [
        Example(
            id=row.id,
            photo_sha256=row.photo_sha256,
            category=row.category,
            source=row.source,
            caption=row.caption,
        )
        for row in connection.execute(query)
    ]


def training_captions(
    connection: Connection, categories: Collection[str], *, until: int
) -> Iterator[str]:
    """Return the captions of the examples that ``read_examples`` would return."""
    query = select(training_examples.c.caption).where(
        *_trainable(categories, until), training_examples.c.caption != ""
    )
    yield from connection.scalars(query)


def _trainable(categories: Collection[str], until: int) -> tuple[ColumnElement[bool], ...]:
    columns = training_examples.c
    return (
        columns.split == TRAIN,
        columns.category.in_(categories),
        columns.id <= until,
        ~is_corrected(until),
    )


def is_corrected(until: int | None = None) -> ColumnElement[bool]:
    """Return the condition that a person has given an example's photo another label instead.

    Only if that label is known to a snapshot that ends ``until``: what a run began with stays.
    """
    columns = doubts.c
    return exists().where(
        columns.kind == "photo",
        columns.target == training_examples.c.photo_sha256,
        columns.given == training_examples.c.category,
        columns.decision == "correct",
        true() if until is None else columns.example_id <= until,
    )


def count_missing_vectors(
    connection: Connection, categories: Collection[str], *, until: int, backbone: str
) -> tuple[int, int]:
    """Return how many trainable photos a backbone never saw, and how many there are."""
    tried = exists().where(
        image_vectors.c.photo_sha256 == training_examples.c.photo_sha256,
        image_vectors.c.backbone == backbone,
    )
    count = select(func.count(func.distinct(training_examples.c.photo_sha256))).where(
        *_trainable(categories, until)
    )
    total = connection.scalars(count).one()
    return connection.scalars(count.where(~tried)).one(), total


def example_ranges(
    connection: Connection, categories: Collection[str], *, until: int, size: int
) -> list[tuple[int, int]]:
    """Cut the trainable examples into ranges of ids of at most ``size`` examples each."""
    query = (
        select(training_examples.c.id)
        .where(*_trainable(categories, until))
        .order_by(training_examples.c.id)
    )
    ids = list(connection.scalars(query))
    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [(part[0], part[-1]) for part in parts]


def example_photos(
    connection: Connection, categories: Collection[str], *, first: int, last: int
) -> set[str]:
    """Return the photos of the trainable examples in a range of ids."""
    query = select(training_examples.c.photo_sha256).where(
        *_trainable(categories, last), training_examples.c.id >= first
    )
    return set(connection.scalars(query))

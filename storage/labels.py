"""Truth: what people say photos, posts and accounts are. Scored against, never trained on."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from schemas.posts import Label, LabelKind
from storage.database import insert_or_update
from storage.tables import truth_labels

REVIEWER = "review:"
"""How the name of a labeller begins who corrected a verdict: trained on, never scored against."""


def add_labels(connection: Connection, labels: Sequence[Label]) -> None:
    """Record labels; the newest word of a labeller on a thing counts.

    A labeller's name is cut to the 100 characters that its column holds.
    """
    now = datetime.now(UTC)
    unique = {
        (label.kind, label.id, labeller := label.labeller[:100]): {
            "kind": label.kind,
            "target": label.id,
            "labeller": labeller,
            "categories": list(label.categories),
            "created_at": now,
        }
        for label in labels
    }
    insert_or_update(
        connection,
        truth_labels,
        list(unique.values()),
        key=["kind", "target", "labeller"],
        update=["categories", "created_at"],
    )


def read_truth(
    connection: Connection, kind: LabelKind, labeller: str | None = None
) -> dict[str, set[str]]:
    """Return what labellers (or one of them) say, by target.

    Where several disagree, what all of them name. Corrections made while reviewing are left out:
    they feed training, and would test it on itself.
    """
    query = select(truth_labels.c.target, truth_labels.c.categories).where(
        truth_labels.c.kind == kind, ~truth_labels.c.labeller.startswith(REVIEWER)
    )
    if labeller is not None:
        query = query.where(truth_labels.c.labeller == labeller)
    truth: dict[str, set[str]] = {}
    for target, categories in connection.execute(query):
        named = set(categories)
        truth[target] = truth[target] & named if target in truth else named
    return truth


def count_labels(connection: Connection, kind: LabelKind) -> dict[str, int]:
    """Return how many things of a kind each labeller has labelled, by name."""
    query = (
        select(truth_labels.c.labeller, func.count())
        .where(truth_labels.c.kind == kind)
        .group_by(truth_labels.c.labeller)
        .order_by(truth_labels.c.labeller)
    )
    return dict(connection.execute(query).all())


def read_said(connection: Connection, kind: LabelKind) -> dict[str, dict[str, set[str]]]:
    """Return what each labeller says of each target of a kind."""
    query = select(truth_labels.c.labeller, truth_labels.c.target, truth_labels.c.categories).where(
        truth_labels.c.kind == kind
    )
    said: dict[str, dict[str, set[str]]] = {}
    for labeller, target, categories in connection.execute(query):
        said.setdefault(labeller, {})[target] = set(categories)
    return said

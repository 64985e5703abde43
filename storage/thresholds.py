"""What another threshold would do to the verdicts in force, and how good it would be."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, func, or_, select

from schemas.base import Frozen
from schemas.errors import UsageError
from storage.bundles import find_bundle
from storage.labels import REVIEWER
from storage.tables import influencers, truth_labels
from storage.verdicts import newest_of_both
from storage.web_tables import standing_shares, standings

COMPARED = 500


class Preview(Frozen):
    """What a category's threshold would change; precision and recall are None where unknown.

    ``gain`` and ``lose`` count accounts in force, ``labelled`` those with known categories.
    """

    category: str
    threshold: float
    present: float
    gain: int
    lose: int
    labelled: int
    precision: float | None
    recall: float | None


class Comparison(Frozen):
    """How the verdicts of two bundles differ, over the accounts judged by both."""

    first: str
    second: str
    accounts: int
    same: int
    by_category: dict[str, tuple[int, int, int]]


def preview_threshold(
    connection: Connection, bundle_id: str, category: str, threshold: float
) -> Preview:
    """Return what a share threshold would do to the verdicts in force of a bundle.

    Raises:
        NotFoundError: there is no such bundle.
        UsageError: the bundle does not know the category, or the threshold is none.
    """
    bundle = find_bundle(connection, bundle_id)
    present = bundle.manifest.share_thresholds.get(category)
    if present is None or not 0 < threshold < 1:
        raise UsageError("Ask for a category of the bundle, and a threshold between 0 and 1.")
    scored = list(_scored(connection, bundle.id, category))
    hits = sum(true and share >= threshold for true, share in scored)
    given = sum(share >= threshold for _true, share in scored)
    support = sum(true for true, _share in scored)
    return Preview(
        category=category,
        threshold=threshold,
        present=present,
        gain=_between(connection, bundle.id, category, threshold, present),
        lose=_between(connection, bundle.id, category, present, threshold),
        labelled=len(scored),
        precision=hits / given if given else None,
        recall=hits / support if support else None,
    )


def count_in_force(connection: Connection) -> dict[str, int]:
    """Return of how many accounts each bundle's verdict is in force."""
    query = select(standings.c.bundle_id, func.count()).group_by(standings.c.bundle_id)
    return dict(connection.execute(query).all())


def is_in_force(connection: Connection, bundle_id: str) -> bool:
    """Whether a bundle's verdict is in force for any account."""
    query = select(standings.c.influencer_id).where(standings.c.bundle_id == bundle_id)
    return connection.scalar(query.limit(1)) is not None


def compare_bundles(connection: Connection, first: str, second: str) -> Comparison:
    """Compare the newest verdicts of two bundles on at most 500 accounts that both judged.

    Raises:
        NotFoundError: one of them does not exist.
    """
    first, second = find_bundle(connection, first).id, find_bundle(connection, second).id
    pairs = newest_of_both(connection, first, second, limit=COMPARED)
    by_category: dict[str, tuple[int, int, int]] = {}
    for one, other in pairs:
        for name in one | other:
            here, there, both = by_category.get(name, (0, 0, 0))
            in_one, in_other = name in one, name in other
            by_category[name] = (
                here + (in_one and not in_other),
                there + (in_other and not in_one),
                both + (in_one and in_other),
            )
    return Comparison(
        first=first,
        second=second,
        accounts=len(pairs),
        same=sum(one == other for one, other in pairs),
        by_category=dict(sorted(by_category.items())),
    )


def _between(connection: Connection, bundle_id: str, category: str, low: float, high: float) -> int:
    """Count accounts whose share of a category is at least ``low`` and below ``high``."""
    if low >= high:
        return 0
    columns = standing_shares.c
    query = (
        select(func.count())
        .select_from(standing_shares)
        .where(columns.category == category, columns.share >= low, columns.share < high)
    )
    if _is_mixed(connection, bundle_id):
        query = query.join(standings, standings.c.influencer_id == columns.influencer_id)
        query = query.where(standings.c.bundle_id == bundle_id)
    return connection.scalars(query).one()


def _is_mixed(connection: Connection, bundle_id: str) -> bool:
    """Whether another bundle's verdicts are in force too; else no share need be asked whose."""
    columns = standings.c
    other = or_(columns.bundle_id < bundle_id, columns.bundle_id > bundle_id)
    return connection.scalar(select(columns.influencer_id).where(other).limit(1)) is not None


def _scored(connection: Connection, bundle_id: str, category: str) -> Iterable[tuple[bool, float]]:
    """Return for each labelled account whether it truly has a category, and its share of it."""
    labels: Any = truth_labels.c
    query = (
        # As text: whether it names a category takes no parsing of thousands of lists.
        select(labels.target, cast(labels.categories, Text), standing_shares.c.share)
        .join(influencers, influencers.c.username == labels.target)
        .join(standings, standings.c.influencer_id == influencers.c.id)
        .outerjoin(
            standing_shares,
            and_(
                standing_shares.c.influencer_id == influencers.c.id,
                standing_shares.c.category == category,
            ),
        )
        .where(
            labels.kind == "account",
            ~labels.labeller.startswith(REVIEWER),
            standings.c.bundle_id == bundle_id,
        )
    )
    found: dict[str, tuple[bool, float]] = {}
    named = json.dumps(category)
    for target, categories, share in connection.execute(query):
        # Where labellers disagree, what all of them name counts.
        true = named in categories and found.get(target, (True, 0.0))[0]
        found[target] = (true, share or 0.0)
    return found.values()

"""How far people who labelled the same things agree, beyond what chance would give."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np

from schemas.base import Frozen

Said = Mapping[str, Mapping[str, Collection[str]]]
"""What each labeller says: labeller -> thing -> categories."""


class PairAgreement(Frozen):
    """Cohen's kappa of two labellers on one category; None where both never vary."""

    first: str
    second: str
    category: str
    items: int
    agreement: float
    kappa: float | None


class CategoryAgreement(Frozen):
    """Krippendorff's alpha of all labellers on one category.

    ``items`` counts things that two or more labelled, ``named`` those of them somebody gave it.
    """

    category: str
    items: int
    named: int
    alpha: float | None


class LabelAgreement(Frozen):
    """Agreement between labellers by category and, pairwise, by category."""

    labellers: tuple[str, ...]
    categories: tuple[CategoryAgreement, ...]
    pairs: tuple[PairAgreement, ...]


def measure_agreement(said: Said, categories: Sequence[str]) -> LabelAgreement:
    """Measure how far labellers agree on each category, taken as a yes or no of its own.

    A thing may have several categories, so each is judged by itself; only things that at least
    two people labelled count.
    """
    names = tuple(sorted(said))
    pairs = [
        _compare(first, second, said[first], said[second], category)
        for first, second in combinations(names, 2)
        if said[first].keys() & said[second].keys()
        for category in categories
    ]
    return LabelAgreement(
        labellers=names,
        categories=tuple(_gather(said, category) for category in categories),
        pairs=tuple(pairs),
    )


def cohen_kappa(first: Sequence[bool], second: Sequence[bool]) -> float | None:
    """Return Cohen's kappa (1960) of two people's yes or no; None where chance explains all."""
    one, other = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    if not len(one):
        return None
    observed = float((one == other).mean())
    yes, also = float(one.mean()), float(other.mean())
    chance = yes * also + (1 - yes) * (1 - also)
    # Nobody ever varied: there is nothing to agree about beyond chance.
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def krippendorff_alpha(units: Sequence[Sequence[bool]]) -> float | None:
    """Return Krippendorff's alpha of nominal yes or no, a list of answers a thing.

    1 - observed / expected disagreement (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"); answers to a thing that fewer than two people judged do not count. None
    where all answers are alike.
    """
    rated = [np.asarray(unit, np.bool_) for unit in units if len(unit) >= 2]  # noqa: PLR2004 - a pair
    total = sum(len(unit) for unit in rated)
    yes = sum(int(unit.sum()) for unit in rated)
    no = total - yes
    if not yes or not no:
        return None
    # Ordered pairs that differ, each thing weighing by its number of answers.
    observed = sum(2 * int(u.sum()) * int((~u).sum()) / (len(u) - 1) for u in rated) / total
    expected = 2 * yes * no / (total * (total - 1))
    return 1 - observed / expected


def _compare(
    first: str,
    second: str,
    one: Mapping[str, Collection[str]],
    other: Mapping[str, Collection[str]],
    category: str,
) -> PairAgreement:
    things = sorted(one.keys() & other.keys())
    left = [category in one[thing] for thing in things]
    right = [category in other[thing] for thing in things]
    alike = sum(a == b for a, b in zip(left, right, strict=True))
    return PairAgreement(
        first=first,
        second=second,
        category=category,
        items=len(things),
        agreement=alike / len(things),
        kappa=cohen_kappa(left, right),
    )


def _gather(said: Said, category: str) -> CategoryAgreement:
    units: dict[str, list[bool]] = {}
    for labels in said.values():
        for thing, named in labels.items():
            units.setdefault(thing, []).append(category in named)
    shared = [unit for unit in units.values() if len(unit) >= 2]  # noqa: PLR2004 - a pair
    return CategoryAgreement(
        category=category,
        items=len(shared),
        named=sum(any(unit) for unit in shared),
        alpha=krippendorff_alpha(shared),
    )

"""Dividing samples into those fitted on and those held out, whole groups at a time."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["fit", "validation", "holdout"]

FIT: Part = "fit"
VALIDATION: Part = "validation"
HOLDOUT: Part = "holdout"


def split_groups(
    groups: NDArray[np.integer],
    labels: NDArray[np.integer],
    *,
    share: float = 0.15,
    seed: int = 0,
    held_out: NDArray[np.bool_] | None = None,
) -> list[Part]:
    """Say of each sample whether it is fitted on, validated on, or held out altogether.

    Whole groups go to one side, drawn at random until each class has about ``share`` of its
    samples in validation. A class with fewer than five samples or one single group gives none: it
    needs all of them. Samples marked ``held_out`` (a whole source, a later time) are in neither,
    and so are those that share a group with one: nothing akin to them may be learnt.
    """
    groups, labels = np.asarray(groups), np.asarray(labels)
    outside = np.zeros(len(groups), np.bool_) if held_out is None else held_out.copy()
    outside = np.isin(groups, np.unique(groups[outside]))
    free = ~outside
    validated = np.zeros(len(groups), np.bool_)
    names, members = np.unique(groups[free], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    rows = np.flatnonzero(free)
    by_group: list[list[int]] = [[] for _ in names]
    for row, member in zip(rows.tolist(), members.tolist(), strict=True):
        by_group[member].append(row)
    wanted = _wanted(labels[free], members, share)
    left = dict(wanted)
    for number in order.tolist():
        own = labels[by_group[number]]
        counts = {int(label): int((own == label).sum()) for label in np.unique(own)}
        # A group is taken only if no class of it would be overdrawn by more than half of it.
        if all(left.get(label, 0) >= count / 2 for label, count in counts.items()):
            validated[by_group[number]] = True
            for label, count in counts.items():
                left[label] -= count
    return [
        HOLDOUT if away else VALIDATION if held else FIT
        for away, held in zip(outside.tolist(), validated.tolist(), strict=True)
    ]


def _wanted(
    labels: NDArray[np.integer], members: NDArray[np.integer], share: float
) -> dict[int, int]:
    """Return how many samples of each class validation should get."""
    wanted: dict[int, int] = {}
    for label in np.unique(labels).tolist():
        own = labels == label
        enough = own.sum() >= 5 and len(np.unique(members[own])) > 1 and share > 0  # noqa: PLR2004 - as documented
        wanted[int(label)] = max(round(share * int(own.sum())), 1) if enough else 0
    return wanted

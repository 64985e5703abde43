"""Groups of things that belong together, directly or by way of others."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def join_pairs(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Return a group number a thing ``(count,)``: linked pairs share one, that of the first."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return np.array([root(place) for place in range(count)], np.int64)


def join_keys(keys: Sequence[Iterable[str]]) -> NDArray[np.int64]:
    """Return a group number a sample ``(n,)``: samples that share any key belong together.

    ``keys`` has those of each sample: its photos, its author, their near-duplicates' group. Groups
    are numbered by their first member.
    """
    firsts: dict[str, int] = {}
    pairs = [
        (firsts.setdefault(key, place), place) for place, own in enumerate(keys) for key in own
    ]
    return join_pairs(len(keys), pairs)

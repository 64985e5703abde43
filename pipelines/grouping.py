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


def join_groups(*keys: Sequence[str | int | None]) -> NDArray[np.int64]:
    """Return a group number a sample ``(n,)``: samples that share any key belong together.

    Each of ``keys`` has one value a sample (its photo, its author, its near-duplicates' group);
    None is shared with nobody. Groups are numbered by their first member.
    """
    return join_pairs(len(keys[0]), (pair for values in keys for pair in _shared(values)))


def _shared(values: Sequence[str | int | None]) -> Iterable[tuple[int, int]]:
    firsts: dict[str | int, int] = {}
    for place, value in enumerate(values):
        if value is not None:
            yield firsts.setdefault(value, place), place

"""Whether two methods differ on the same items, or only seem to."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen


class Difference(Frozen):
    """How two methods disagree on the same items.

    ``only_first`` items are right by the first method alone, ``only_second`` by the second alone;
    ``p_value`` is McNemar's, ``p_adjusted`` the same after Holm's correction for all comparisons
    made together.
    """

    only_first: int
    only_second: int
    p_value: float
    p_adjusted: float


def compare_pairs(
    first: NDArray[np.bool_], others: Sequence[NDArray[np.bool_]]
) -> list[Difference]:
    """Compare which items ``(n,)`` one method got right with those of each other method."""
    counts = [(int((first & ~other).sum()), int((~first & other).sum())) for other in others]
    p_values = [mcnemar(*pair) for pair in counts]
    return [
        Difference(only_first=a, only_second=b, p_value=p, p_adjusted=adjusted)
        for (a, b), p, adjusted in zip(counts, p_values, adjust_holm(p_values), strict=True)
    ]


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value that two methods are equally often right.

    Items that both have right or both wrong say nothing; of the others each method should have won
    half. McNemar 1947, "Note on the sampling error of the difference between correlated
    proportions"; exact by the binomial distribution with chance one half.
    """
    decided, least = only_first + only_second, min(only_first, only_second)
    if decided == 0:
        return 1.0
    # In logarithms: 2^-n is no float from 1,075 items on.
    logs = [
        math.lgamma(decided + 1) - math.lgamma(k + 1) - math.lgamma(decided - k + 1)
        for k in range(least + 1)
    ]
    largest = max(logs)
    total = math.fsum(math.exp(log - largest) for log in logs)
    tail = math.exp(min(largest + math.log(total) - decided * math.log(2), 0.0))
    return min(1.0, 2 * tail)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for several comparisons made together.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted

"""Agreement labels: a tagged post is believed only where two image models say what its tag says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.base import Frozen

UNDEFINED = "indefinido"
"""What the thesis calls a tagged post that was not kept."""

Ints = NDArray[np.integer]


class AgreementCount(Frozen):
    """What became of the posts that carry one category's tags.

    ``plain`` and ``rejecting`` count those whose tag the model of k classes and the model of k
    classes and ``otra`` confirm; ``kept`` those that both confirm.
    """

    category: str
    tagged: int
    plain: int
    rejecting: int
    kept: int

    @property
    def undefined(self) -> int:
        """How many are ``indefinido``."""
        return self.tagged - self.kept


@dataclass(frozen=True)
class Agreement:
    """Which tagged posts to believe ``(n,)``, and the table of counts, a row a category."""

    kept: NDArray[np.bool_]
    counts: tuple[AgreementCount, ...]


def agree_labels(
    tagged: Ints, plain: Ints, rejecting: Ints, categories: Sequence[str]
) -> Agreement:
    """Keep the posts whose tag's category both image models see too (thesis, section 4.2).

    ``tagged``, ``plain`` and ``rejecting`` are places in ``categories`` ``(n,)``; the rejecting
    model's place after the last category is ``otra``, and a negative place means that the post
    could not be judged: neither ever agrees with a tag.
    """
    by_plain, by_rejecting = tagged == plain, tagged == rejecting
    kept = by_plain & by_rejecting & (tagged >= 0) & (tagged < len(categories))
    counts = tuple(
        AgreementCount(
            category=name,
            tagged=int((own := tagged == place).sum()),
            plain=int((own & by_plain).sum()),
            rejecting=int((own & by_rejecting).sum()),
            kept=int((own & kept).sum()),
        )
        for place, name in enumerate(categories)
    )
    return Agreement(kept, counts)

"""Which categories are taken for which."""

from collections.abc import Sequence

from pipelines.evaluation.methods import MethodPredictions, Truth
from schemas.base import Frozen

NONE = "none of them"
UNKNOWN = "unknown"


class Confusion(Frozen):
    """Counts of items by true category (``rows``) and by answer (``columns``).

    Items with several true categories have no one row: ``left_out`` counts them.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    left_out: int


def count_confusions(method: MethodPredictions, truth: Truth, classes: Sequence[str]) -> Confusion:
    """Count what a method answers to items of each category.

    Of several predicted categories the likeliest counts.
    """
    rows, columns = (*classes, NONE), (*classes, NONE, UNKNOWN)
    counts = [[0] * len(columns) for _row in rows]
    left_out = 0
    for found, true, likely in zip(method.predicted, truth, method.probabilities, strict=True):
        real = [name for name in classes if name in true]
        if len(real) > 1:
            left_out += 1
            continue
        row = rows.index(real[0]) if real else len(classes)
        if found is None:
            column = len(columns) - 1
        else:
            named = [place for place, name in enumerate(classes) if name in found]
            column = max(named, key=lambda place: likely[place]) if named else len(classes)
        counts[row][column] += 1
    return Confusion(
        rows=rows,
        columns=columns,
        counts=tuple(map(tuple, counts)),
        left_out=left_out,
    )

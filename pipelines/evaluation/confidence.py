"""Whether probabilities mean what they say: calibration, and what abstaining would buy."""

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.metrics import Interval, wilson_interval
from schemas.base import Frozen

BINS = 10

POINTS = 101
"""Coverages at which the risk-coverage curve is kept."""

Floats = NDArray[np.floating]


class Bin(Frozen):
    """Items whose top probability lies between ``low`` and ``high``: what was said, what was so."""

    low: float
    high: float
    items: int
    said: float
    right: float
    right_interval: Interval


class Confidence(Frozen):
    """How far a method's top probability can be believed.

    ``ece`` is the expected calibration error over ten equal bins, Σ (n_b / n) |right_b - said_b|
    (Naeini et al. 2015). ``aurc`` is the area under the risk-coverage curve: the mean error among
    the surest items, over every number of them kept (Geifman & El-Yaniv 2017). ``coverages`` and
    ``risks`` are that curve.
    """

    items: int
    ece: float
    bins: tuple[Bin, ...]
    aurc: float
    coverages: tuple[float, ...]
    risks: tuple[float, ...]


def measure_confidence(sure: Floats, right: NDArray[np.bool_]) -> Confidence:
    """Compare top probabilities ``(n,)`` with whether the top class was right ``(n,)``.

    Raises:
        ValueError: nothing to compare, or the sides differ in length.
    """
    if len(sure) != len(right) or not len(sure):
        raise ValueError(
            "Confidence needs at least one item, and as many answers as probabilities."
        )
    bins = _fill_bins(np.asarray(sure, np.float64), right)
    risks = trace_risk(sure, right)
    kept = np.unique(np.linspace(1, len(risks), min(POINTS, len(risks))).round().astype(int))
    return Confidence(
        items=len(sure),
        ece=sum(b.items * abs(b.right - b.said) for b in bins) / len(sure),
        bins=bins,
        aurc=float(risks.mean()),
        coverages=tuple((kept / len(risks)).tolist()),
        risks=tuple(risks[kept - 1].tolist()),
    )


def trace_risk(sure: Floats, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the error among the m surest items for m = 1…n, ``(n,)``.

    Items that are equally sure have no order: each of them weighs their common error.
    """
    order = np.argsort(-sure, kind="stable")
    wrong = (~right[order]).astype(np.float64)
    _values, block = np.unique(-sure[order], return_inverse=True)
    shared = np.bincount(block, wrong) / np.bincount(block)
    risks: NDArray[np.float64] = np.cumsum(shared[block]) / np.arange(1, len(wrong) + 1)
    return risks


def _fill_bins(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    places = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    filled = []
    for place in range(BINS):
        inside = places == place
        items, hits = int(inside.sum()), int(right[inside].sum())
        if items:
            filled.append(
                Bin(
                    low=place / BINS,
                    high=(place + 1) / BINS,
                    items=items,
                    said=float(sure[inside].mean()),
                    right=hits / items,
                    right_interval=wilson_interval(hits, items),
                )
            )
    return tuple(filled)

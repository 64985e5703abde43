"""Two bundles on the same items: both in one table, and whether they differ."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.evaluation.methods import MethodPredictions


def name_apart(bundle_id: str, methods: Sequence[MethodPredictions]) -> list[MethodPredictions]:
    """Put a bundle's id before the names of its methods."""
    return [replace(method, name=f"{bundle_id} {method.name}") for method in methods]


def narrow(
    method: MethodPredictions, own: Sequence[str], shared: Sequence[str], *, reject: bool
) -> MethodPredictions:
    """Return what a method says of the categories it shares with another bundle's.

    Its other categories become, with its reject class, "none of them": a post that it gives one of
    those has none of the shared ones.
    """
    places = [own.index(name) for name in shared]
    others = [place for place in range(len(own) + reject) if place not in places]
    probabilities = method.probabilities[:, places]
    if others:
        # The largest, not the sum: what was likeliest has to stay so.
        rest = method.probabilities[:, others].max(axis=1, keepdims=True)
        probabilities = np.concatenate([probabilities, rest], axis=1)
    wanted = set(shared)
    return replace(
        method,
        probabilities=probabilities,
        predicted=[None if found is None else found & wanted for found in method.predicted],
    )

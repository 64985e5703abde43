"""Vectors laid out in the plane, so that people see what lies near what."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 7000
"""As many as in the thesis' figures."""

MIN_POINTS = 10

_FIRST_WIDTH = 50
_SHARE_OF_NEIGHBOURS = 3


def sample_evenly(labels: Sequence[str], limit: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` places in ascending order, drawn from everybody alike."""
    count = len(labels)
    if count <= limit:
        return np.arange(count)
    drawn = np.random.default_rng(seed).choice(count, limit, replace=False)
    return np.sort(drawn)


def lay_out(vectors: NDArray[np.floating], *, seed: int = 0) -> NDArray[np.float32]:
    """Return t-SNE's places ``(n, 2)`` of vectors ``(n, d)``, the same for the same seed.

    Brought to 50 dimensions by PCA first, as its authors advise; perplexity 30, less where there
    are few (van der Maaten & Hinton 2008). One thread, for sums of several differ from run to run.

    Raises:
        ValueError: fewer than ten vectors.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count, width = vectors.shape
    if count < MIN_POINTS:
        raise ValueError(f"A map needs at least {MIN_POINTS} vectors.")
    exact = vectors.astype(np.float64)
    with threadpool_limits(limits=1):
        short = PCA(min(_FIRST_WIDTH, count - 1, width), svd_solver="full").fit_transform(exact)
        perplexity = min(30.0, (count - 1) / _SHARE_OF_NEIGHBOURS)
        model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
        places: NDArray[np.float32] = model.fit_transform(short.astype(np.float32))
    return places

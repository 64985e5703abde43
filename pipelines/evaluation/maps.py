"""Vectors laid out in the plane, so that people see what lies near what."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.fusion.network import HALVES, Network
from pipelines.methods import PostInputs
from schemas.maps import MAX_POSTS, MIN_POSTS, MapGroup, View

MAX_POINTS = MAX_POSTS
MIN_POINTS = MIN_POSTS
NEIGHBOURS = 10
"""Of a point, when asked what lies beside what."""

_FIRST_WIDTH = 50
_SHARE_OF_NEIGHBOURS = 3


def sample_evenly(labels: Sequence[str], limit: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` places in ascending order, drawn from everybody alike."""
    count = len(labels)
    if count <= limit:
        return np.arange(count)
    drawn = np.random.default_rng(seed).choice(count, limit, replace=False)
    return np.sort(drawn)


def sample_by_group(groups: NDArray[np.integer], limit: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` places of ``groups (n,)`` in ascending order, from each group alike.

    Small groups are taken whole; what they leave is shared evenly among the larger ones.
    """
    rng = np.random.default_rng(seed)
    known, sizes = np.unique(groups, return_counts=True)
    left = min(limit, len(groups))
    chosen: list[NDArray[np.int64]] = []
    # The smallest first: what they do not use is there for those after them.
    for turn, group in enumerate(np.argsort(sizes, kind="stable")):
        own = np.flatnonzero(groups == known[group])
        taken = min(len(own), -(-left // (len(known) - turn)))
        chosen.append(rng.choice(own, taken, replace=False))
        left -= taken
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.int64)


def choose_vectors(
    inputs: PostInputs, network: Network, view: View
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the vectors ``(n, d)`` that a view sees of posts, and ``(n,)`` who has all of them.

    Image and text are those that the network reads, after PCA; both are scaled as the network
    scales them, side by side.
    """
    count = len(inputs.post_ids)
    image = inputs.image if inputs.image is not None else np.zeros((count, 0), np.float32)
    halves = {"image": image, "text": inputs.text}
    there = {name: (half != 0).any(axis=1) for name, half in halves.items()}
    if view != "both":
        return halves[view], there[view]
    scales = dict(zip(HALVES, (network.image, network.text), strict=True))
    joined = np.concatenate([scales[name].apply(halves[name]) for name in HALVES], axis=1)
    return joined, there["image"] & there["text"]


def fit_square(places: NDArray[np.floating]) -> NDArray[np.float64]:
    """Bring places ``(n, 2)`` into the unit square, in its middle, keeping their proportions."""
    low, high = places.min(axis=0), places.max(axis=0)
    width = float((high - low).max()) or 1.0
    fitted: NDArray[np.float64] = (places.astype(np.float64) - (low + high) / 2) / width + 0.5
    return fitted


def describe_groups(
    places: NDArray[np.floating], labels: Sequence[str | None], totals: Mapping[str | None, int]
) -> list[MapGroup]:
    """Return for each label how many are shown, of how many, and what lies beside them.

    Neighbours are the ten nearest in the plane, fewer where there are fewer points.
    """
    from scipy.spatial import cKDTree

    names = sorted(totals, key=lambda name: (name is None, -totals[name], name or ""))
    codes = np.array([names.index(label) for label in labels])
    count = min(NEIGHBOURS, len(labels) - 1)
    _distances, nearest = cKDTree(places).query(places, count + 1)
    # A point that shares its place with others need not come first among them.
    others = nearest != np.arange(len(labels))[:, None]
    others[others.all(axis=1), -1] = False
    met = codes[nearest[others]].reshape(len(labels), count)
    groups = []
    for code, name in enumerate(names):
        own = np.bincount(met[codes == code].ravel(), minlength=len(names)).astype(float)
        parts = own / max(own.sum(), 1.0)
        foreign = np.where(np.arange(len(names)) == code, 0.0, parts)
        most = int(foreign.argmax())
        groups.append(
            MapGroup(
                category=name,
                shown=int((codes == code).sum()),
                posts=totals[name],
                alike=round(float(parts[code]), 4),
                beside=names[most] if foreign[most] > 0 else None,
                beside_part=round(float(foreign[most]), 4),
            )
        )
    return groups


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

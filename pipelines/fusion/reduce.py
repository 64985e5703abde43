"""PCA: a backbone's vectors made as short as a text model's, in the same order of magnitude."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import TrainingError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Reducer:
    """A fitted reduction: ``(x - mean) / scale`` projected on ``components (width, d)``."""

    mean: Floats
    scale: Floats
    components: Floats

    @property
    def input_width(self) -> int:
        """Length of a vector going in."""
        return int(self.components.shape[1])

    @property
    def width(self) -> int:
        """Length of a vector coming out."""
        return int(self.components.shape[0])

    def transform(self, vectors: NDArray[np.floating]) -> Floats:
        """Reduce ``(n, d)`` to ``(n, width) float32``."""
        standard: Floats = (vectors.astype(np.float32, copy=False) - self.mean) / self.scale
        reduced: Floats = standard @ self.components.T
        return reduced

    def to_tensors(self) -> dict[str, Floats]:
        """Return the arrays under the names that ``from_tensors`` reads."""
        return {"mean": self.mean, "scale": self.scale, "components": self.components}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats]) -> "Reducer":
        """Build a reducer from what ``to_tensors`` returned."""
        return cls(tensors["mean"], tensors["scale"], tensors["components"])


def fit_reducer(vectors: NDArray[np.floating], width: int = 128) -> Reducer:
    """Fit standardisation and PCA on ``(n, d)``, as the thesis does from 512 to 128 (section 4.4).

    The width is at most n-1 and d. A column that never changes keeps the scale 1, and a direction
    in which the training vectors never differ gives zeros. The components share one factor, which
    gives the reduced training vectors a mean square of 1; whitening each component instead would
    lift the last, noisy ones to the height of the first.

    Raises:
        TrainingError: fewer than two different vectors, or one that is not finite.
    """
    from sklearn.decomposition import PCA

    rows, columns = vectors.shape
    if rows < 2:  # noqa: PLR2004 - one point has no spread
        raise TrainingError(f"PCA needs at least 2 photos, and there are {rows}: import more.")
    exact = vectors.astype(np.float64)
    if not np.isfinite(exact).all():
        raise TrainingError("A photo's vector is not finite: compute the vectors again.")
    mean, spread = exact.mean(axis=0), exact.std(axis=0)
    # What float rounding leaves of a constant column is no spread.
    varies = spread > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    if not varies.any():
        raise TrainingError("All photos look exactly alike: import different ones.")
    scale = np.where(varies, spread, 1.0)
    solver = "covariance_eigh" if rows >= columns else "full"
    pca = PCA(min(width, rows - 1, columns), svd_solver=solver)
    # The thin middle has to be exact where columns nearly repeat each other, hence float64.
    reduced = pca.fit_transform((exact - mean) / scale)
    variances = np.mean(reduced**2, axis=0)
    # A network has nothing to learn of what never varied, and must not stumble over it later.
    varied = variances > 1e-9 * variances.max()
    components = np.where(varied[:, None], pca.components_ / np.sqrt(variances.mean()), 0)
    return Reducer(
        mean.astype(np.float32),
        scale.astype(np.float32),
        np.ascontiguousarray(components, np.float32),
    )

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from pipelines.fusion.reduce import Floats, Reducer, fit_reducer
from schemas.errors import TrainingError


def make_vectors(rows: int, columns: int) -> Floats:
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    return (mixed + 5).astype(np.float32)


@pytest.mark.parametrize(
    ("rows", "columns", "width"), [(300, 40, 16), (300, 40, 40), (20, 40, 19), (2, 40, 1)]
)
def test_the_width_is_at_most_what_the_data_can_fill(rows: int, columns: int, width: int) -> None:
    reducer = fit_reducer(make_vectors(rows, columns), 16 if width == 16 else 128)
    assert (reducer.width, reducer.input_width) == (width, columns)


def test_the_reduction_is_standardised_pca_up_to_one_factor() -> None:
    vectors = make_vectors(300, 40)
    reference = PCA(16, svd_solver="full").fit_transform(StandardScaler().fit_transform(vectors))
    reduced = fit_reducer(vectors, 16).transform(vectors)
    ratio = np.linalg.norm(reference) / np.linalg.norm(reduced)
    assert (
        np.abs(np.abs(reduced * ratio) - np.abs(reference)).max() < 1e-3 * np.abs(reference).max()
    )


def test_reduced_training_vectors_have_mean_zero_and_mean_square_one() -> None:
    vectors = make_vectors(300, 40)
    reduced = fit_reducer(vectors, 16).transform(vectors)
    assert reduced.dtype == np.float32
    assert np.abs(reduced.mean(axis=0)).max() < 1e-4
    assert np.mean(reduced**2) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_column_adds_nothing_however_large(value: float) -> None:
    vectors = make_vectors(50, 5)
    vectors[:, 2] = value
    reducer = fit_reducer(vectors)
    moved = vectors.copy()
    moved[:, 2] += 0.001 * max(value, 1)
    assert reducer.scale[2] == 1
    assert np.abs(reducer.components[:, 2]).max() < 1e-5
    assert np.isfinite(reducer.transform(moved)).all()


def test_a_direction_without_spread_gives_zeros_whatever_comes_later() -> None:
    vectors = make_vectors(50, 5)
    vectors[:, 4] = vectors[:, 3]
    reducer = fit_reducer(vectors)
    apart = vectors.copy()
    apart[:, 4] += 100
    assert reducer.width == 5
    assert not reducer.transform(apart)[:, 4].any()


def test_identical_photos_are_refused() -> None:
    with pytest.raises(TrainingError, match="exactly alike"):
        fit_reducer(np.full((4, 6), 0.3, np.float32))


def test_saved_and_loaded_it_reduces_alike() -> None:
    vectors = make_vectors(60, 8)
    reducer = fit_reducer(vectors, 4)
    again = Reducer.from_tensors(reducer.to_tensors())
    assert np.array_equal(reducer.transform(vectors), again.transform(vectors))


def test_one_photo_is_too_few() -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        fit_reducer(make_vectors(1, 8))


def test_a_vector_that_is_not_finite_is_refused() -> None:
    vectors = make_vectors(10, 8)
    vectors[3, 3] = np.nan
    with pytest.raises(TrainingError, match="not finite"):
        fit_reducer(vectors)

"""Vectors come back as they went in, but for half precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from storage.database import Database
from storage.vectors import (
    Unusable,
    known_image_vectors,
    pack,
    read_image_vectors,
    read_text_vectors,
    save_image_vectors,
    save_text_vectors,
    unpack,
)
from tests.unit.storage.builders import add_photo, photo


@given(arrays.arrays(np.float32, st.integers(1, 64), elements=st.floats(-100, 100, width=32)))
def test_packing_costs_less_than_a_thousandth(vector: NDArray[np.float32]) -> None:
    assert unpack(pack(vector)) == pytest.approx(vector, rel=1e-3, abs=1e-6)


def test_values_beyond_half_precision_stay_finite() -> None:
    assert np.isfinite(unpack(pack(np.array([1e9, -1e9], np.float32)))).all()


def test_a_photo_has_its_vector_its_problem_or_was_never_tried(database: Database) -> None:
    vector = np.array([0.5, -2.0], np.float32)
    with database.write() as connection:
        good, bad, new = (add_photo(connection, name) for name in "abc")
        save_image_vectors(connection, "net", {good: vector, bad: Unusable(problem="truncated")})
        found = read_image_vectors(connection, "net", [good, bad, new])
        assert known_image_vectors(connection, "net", [good, bad, new]) == {good, bad}
        assert known_image_vectors(connection, "other", [good]) == set()
    assert set(found) == {good, bad}
    assert found[good].tolist() == vector.tolist()  # type: ignore[union-attr]
    assert found[bad] == Unusable(problem="truncated")


def test_saving_a_vector_again_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        sha256 = add_photo(connection, "a")
        for value in (1.0, 2.0):
            save_image_vectors(connection, "net", {sha256: np.array([value], np.float32)})
        (kept,) = read_image_vectors(connection, "net", [sha256]).values()
    assert kept.tolist() == [1.0]  # type: ignore[union-attr]


def test_a_caption_without_a_known_word_is_known_to_have_no_vector(database: Database) -> None:
    with database.write() as connection:
        save_text_vectors(connection, "ft", {photo("x"): None})
        assert read_text_vectors(connection, "ft", [photo("x"), photo("y")]) == {photo("x"): None}

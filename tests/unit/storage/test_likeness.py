"""Photos that look the same are found, whichever bits of their hashes differ."""

from hypothesis import given
from hypothesis import strategies as st

from storage.likeness import from_stored, to_stored


@given(st.integers(0, 2**64 - 1))
def test_a_hash_survives_a_signed_column(value: int) -> None:
    assert -(2**63) <= to_stored(value) < 2**63
    assert from_stored(to_stored(value)) == value

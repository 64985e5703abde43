"""Only the split ``train`` is ever trained on, and a snapshot does not grow."""

import pytest

from storage.database import Database
from storage.training import (
    NewExample,
    add_examples,
    count_examples,
    count_missing_vectors,
    example_photos,
    example_ranges,
    newest_example,
    read_examples,
    training_captions,
)
from tests.unit.storage.builders import add_photo


def example(sha256: str, category: str = "moda", split: str = "train") -> NewExample:
    return NewExample(
        source="s", photo_sha256=sha256, category=category, split=split, caption="hola"
    )


@pytest.mark.parametrize("split", ["influencers", "test", "validation", ""])
def test_no_other_split_is_ever_read_for_training(database: Database, split: str) -> None:
    with database.write() as connection:
        add_examples(connection, [example(add_photo(connection, "a"), split=split)])
        until = newest_example(connection)
        assert read_examples(connection, ["moda"], until=until) == []
        assert count_examples(connection, ["moda"], until=until) == {"moda": 0}
        assert list(training_captions(connection, ["moda"], until=until)) == []
        assert example_photos(connection, ["moda"], first=0, last=until) == set()
        assert example_ranges(connection, ["moda"], until=until, size=9) == []


def test_a_snapshot_leaves_out_what_came_later(database: Database) -> None:
    with database.write() as connection:
        add_examples(connection, [example(add_photo(connection, "a"))])
        until = newest_example(connection)
        add_examples(connection, [example(add_photo(connection, "b"))])
        assert len(read_examples(connection, ["moda"], until=until)) == 1


def test_moving_a_photo_to_another_split_takes_it_out_of_training(database: Database) -> None:
    with database.write() as connection:
        sha256 = add_photo(connection, "a")
        add_examples(connection, [example(sha256)])
        add_examples(connection, [example(sha256, split="test")])
        assert count_examples(connection, ["moda"], until=99) == {"moda": 0}


def test_ranges_cover_every_example_once(database: Database) -> None:
    with database.write() as connection:
        for name in "abcde":
            category = "moda" if name != "c" else "arte"
            add_examples(connection, [example(add_photo(connection, name), category)])
        ranges = example_ranges(connection, ["moda"], until=99, size=3)
        found = [example_photos(connection, ["moda"], first=a, last=b) for a, b in ranges]
    assert [len(part) for part in found] == [3, 1]


def test_missing_vectors_count_photos_not_examples(database: Database) -> None:
    with database.write() as connection:
        sha256 = add_photo(connection, "a")
        add_examples(connection, [example(sha256), example(sha256, "arte")])
        both = ["moda", "arte"]
        assert count_missing_vectors(connection, both, until=99, backbone="net") == (1, 1)

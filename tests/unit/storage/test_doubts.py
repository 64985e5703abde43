"""Doubts are listed in parts, most doubtful first, on either kind of database."""

from storage.database import Database
from storage.doubts import NewDoubt, add_doubts, list_doubts, settle_doubt
from storage.training import NewExample, add_examples
from tests.unit.storage.builders import add_photo


def test_parts_of_a_list_follow_each_other_without_gap_or_repetition(database: Database) -> None:
    with database.write() as connection:
        names = [add_photo(connection, f"p{number}") for number in range(7)]
        add_examples(
            connection,
            [
                NewExample(
                    source="s", photo_sha256=one, category="comida", split="train", caption=""
                )
                for one in names
            ],
        )
        add_doubts(
            connection,
            [
                NewDoubt(
                    kind="photo",
                    target=one,
                    given="comida",
                    suggested="deporte",
                    # Some are as doubtful as others, and no sum of two of them is exact.
                    given_probability=0.1 * (place // 2) + 0.03,
                    suggested_probability=0.91,
                )
                for place, one in enumerate(names)
            ],
        )
        found, after = [], None
        while True:
            part, after = list_doubts(connection, "vera", after=after, limit=2)
            found += part
            if after is None:
                break
        assert [one.target for one in found] == names
        settle_doubt(connection, found[1].id, reviewer="vera", decision="skip")
        settle_doubt(connection, found[2].id, reviewer="vera", decision="accept")
        mine, _ = list_doubts(connection, "vera", after=None, limit=9)
        others, _ = list_doubts(connection, "ana", after=None, limit=9)
    assert [one.target for one in mine] == [names[0], *names[3:]]
    assert [one.target for one in others] == [*names[:2], *names[3:]]

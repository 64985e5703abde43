"""Rows written in bulk, against what SQLAlchemy writes one by one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select

from storage.bulk import ROWS_AT_ONCE, among, update_plainly
from storage.database import Database, insert_or_update
from storage.schema import migrate
from storage.tables import photos

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'afin.db'}")
    migrate(database)
    return database


def make_row(number: int) -> dict[str, object]:
    return {
        "sha256": f"{number:064x}",
        "size_bytes": 2**40 + number,
        "width": number,
        "height": 3,
        "format": "jpeg",
        "phash": None if number % 2 else -(2**63),
        "created_at": NOW,
    }


def read_all(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(select(photos).order_by(photos.c.sha256))]


@pytest.mark.parametrize("number", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, 3 * ROWS_AT_ONCE + 7])
def test_any_number_of_rows_is_stored_as_sqlalchemy_does(database: Database, number: int) -> None:
    rows = [make_row(one) for one in range(number)]
    with database.write() as connection:
        insert_or_update(connection, photos, rows, key=["sha256"])
        found = read_all(connection)
        connection.execute(photos.delete())
        # What is not named gets its column's default either way.
        connection.execute(insert(photos), rows)
        assert found == read_all(connection)
    assert len(found) == number


def test_a_row_that_is_there_stays_or_is_changed_as_asked(database: Database) -> None:
    first, second = make_row(1), {**make_row(1), "width": 9, "height": 9}
    with database.write() as connection:
        insert_or_update(connection, photos, [first], key=["sha256"])
        insert_or_update(connection, photos, [second], key=["sha256"])
        assert connection.execute(select(photos.c.width, photos.c.height)).one() == (1, 3)
        insert_or_update(connection, photos, [second], key=["sha256"], update=["width"])
        assert connection.execute(select(photos.c.width, photos.c.height)).one() == (9, 3)


def test_rows_are_changed_each_to_its_own(database: Database) -> None:
    rows = [make_row(one) for one in range(70)]
    later = NOW.replace(year=2027)
    with database.write() as connection:
        insert_or_update(connection, photos, rows, key=["sha256"])
        changes = [
            {"sha256": row["sha256"], "width": 1000 + place, "created_at": later}
            for place, row in enumerate(rows[:60])
        ]
        update_plainly(connection, photos, changes, key="sha256")
        found = connection.execute(
            select(photos.c.width, photos.c.created_at).order_by(photos.c.sha256)
        ).all()
    assert [row.width for row in found] == [*range(1000, 1060), *range(60, 70)]
    assert {row.created_at for row in found[:60]} == {later}
    assert {row.created_at for row in found[60:]} == {NOW}


def test_keys_are_found_whatever_they_hold(database: Database) -> None:
    odd = ["it's", 'a "quote"', "[1, 2]", "ñ€", ""]
    with database.write() as connection:
        rows = [{**make_row(1), "sha256": key} for key in odd]
        insert_or_update(connection, photos, rows, key=["sha256"])
        for keys in (odd, odd[:1], []):
            query = select(photos.c.sha256).where(among(connection, photos.c.sha256, keys))
            assert set(connection.scalars(query)) == set(keys)
        ids = select(photos.c.width).where(among(connection, photos.c.width, [1, 2]))
        assert list(connection.scalars(ids)) == [1] * len(odd)

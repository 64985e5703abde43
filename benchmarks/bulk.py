"""Filling an empty store fast: no journal, no foreign keys' checks, indexes made at the end."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.sql.expression import TableClause

from storage.database import Database

PART = 5000
CACHE_KIB = 1_000_000


@contextmanager
def loading(database: Database, tables: Sequence[Table]) -> Iterator[Connection]:
    """Give a connection that fills tables faster than any other; a crash loses all of them.

    Their indexes are dropped before and made anew after. Nobody else may use the database.
    """
    with database.engine.connect() as connection:
        _hurry(connection)
        with connection.begin():
            indexes = [index for table in tables for index in table.indexes]
            for index in indexes:
                index.drop(connection)
            yield connection
            for index in indexes:
                index.create(connection)
        _calm_down(connection)
    # What was set holds for a connection: no other may inherit it.
    database.close()


def insert_rows(
    connection: Connection, table: Table | TableClause, rows: Iterable[dict[str, Any]]
) -> None:
    """Insert rows, some thousands in one go."""
    waiting = iter(rows)
    while part := list(islice(waiting, PART)):
        connection.execute(insert(table), part)


def analyse(database: Database) -> None:
    """Let the database look at what it holds, so that it plans by it."""
    with database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        # The one marks what no open transaction can see any more; both count.
        vacuum = "VACUUM ANALYZE" if database.kind == "postgresql" else "ANALYZE"
        connection.exec_driver_sql(vacuum)


def _hurry(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        _pragmas(
            connection,
            "foreign_keys = OFF",
            "journal_mode = OFF",
            "synchronous = OFF",
            f"cache_size = -{CACHE_KIB}",
        )
        return
    connection.exec_driver_sql("SET maintenance_work_mem = '512MB'")
    connection.commit()
    # Spares a look-up for every reference; only a superuser may.
    with suppress(ProgrammingError), connection.begin():
        connection.exec_driver_sql("SET session_replication_role = replica")


def _calm_down(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        _pragmas(connection, "journal_mode = WAL", "synchronous = NORMAL")


def _pragmas(connection: Connection, *pragmas: str) -> None:
    # Not through SQLAlchemy: within a transaction none of these does anything.
    driver: Any = connection.connection.dbapi_connection
    for pragma in pragmas:
        driver.execute(f"PRAGMA {pragma}").close()

"""One database, SQLite or PostgreSQL: how it is opened, read and written."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from schemas.errors import DatabaseError

Key = TypeVar("Key", int, str)

BUSY_TIMEOUT_MS = 30_000
"""How long a SQLite writer waits for another one; far above any transaction of ours."""

ROWS_PER_STATEMENT = 500
"""Rows of one INSERT: stays under PostgreSQL's 65,535 parameters for our widest table."""


class Database:
    """The store of everything but photos and bundles.

    Readers use ``read()``, writers ``write()``: on SQLite a writing transaction must take the
    write lock when it begins, because one that upgrades later fails at once under load.
    """

    def __init__(self, url: str) -> None:
        """Prepare a connection pool for a SQLAlchemy URL; nothing is opened yet.

        Raises:
            DatabaseError: the URL is malformed or names another kind of database.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise DatabaseError(
                "AFIN_DATABASE_URL is not a database address: use postgresql://user@host/name "
                "or sqlite:///file, or leave it unset."
            ) from None
        kind = parsed.get_backend_name()
        if kind == "postgresql":
            self.engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=8
            )
        elif kind == "sqlite":
            if parsed.database:
                _make_folder(Path(parsed.database).parent)
            self.engine = create_engine(parsed, pool_size=8, max_overflow=24)
            _set_up_sqlite(self.engine)
        else:
            raise DatabaseError(f"afin keeps its data in SQLite or PostgreSQL, not in {kind}.")
        self.kind = kind
        self.location = parsed.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._begin(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; committed at the end, rolled back on an error."""
        with self._begin(write=True) as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def _begin(self, *, write: bool) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except OperationalError as error:
            raise DatabaseError(
                f"The database {self.location} cannot be reached: {_first_line(error)}. "
                "Start it, or correct AFIN_DATABASE_URL."
            ) from error
        with connection:
            connection = connection.execution_options(afin_write=write)
            with connection.begin():
                yield connection


def insert_or_update(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    *,
    key: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Insert rows; where ``key`` exists already, overwrite ``update`` (nothing, if empty)."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    if not rows:
        return
    statement = dialect.insert(table)
    if update:
        statement = statement.on_conflict_do_update(
            index_elements=list(key),
            set_={name: statement.excluded[name] for name in update},
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=list(key))
    # Apart from the rows: a statement with its rows inside is compiled anew each time, for longer
    # than the database takes.
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        connection.execute(statement, list(rows[start : start + ROWS_PER_STATEMENT]))


def in_parts(keys: Iterable[Key]) -> Iterator[list[Key]]:
    """Cut keys, each once and sorted, into parts that fit one statement."""
    listed = sorted(set(keys))
    for start in range(0, len(listed), ROWS_PER_STATEMENT):
        yield listed[start : start + ROWS_PER_STATEMENT]


def _set_up_sqlite(engine: Engine) -> None:
    """Make SQLite safe for several processes: WAL, waiting writers, explicit BEGIN."""

    @event.listens_for(engine, "connect")
    def _prepare(dbapi: sqlite3.Connection, _record: object) -> None:
        # Python's own transaction handling would begin deferred and too late.
        dbapi.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
        ):
            dbapi.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("afin_write", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(
            f"The folder {folder} cannot be made ({error.strerror}): set AFIN_DATA_DIR to a "
            "folder that you may write to."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0].rstrip(".")

"""One database, SQLite or PostgreSQL: how it is opened, read and written."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from schemas.errors import DatabaseError, LostDatabaseError
from storage.bulk import can_insert, insert_plainly

Key = TypeVar("Key", int, str)

BUSY_TIMEOUT_MS = 30_000
"""How long a SQLite writer waits for another one; far above any transaction of ours."""

MAPPED_BYTES = 1 << 30
"""How much of a SQLite file is read from the system's cache without copying it.

A connection's own cache is thrown away whenever another process writes: while a bulk run goes on,
all the time.
"""

PAGES_AHEAD = 4000
"""Pages of 4 KiB that SQLite gathers before it brings them into its file.

Keys are hashes, so that many transactions change the same pages: each is then written once.
"""

PREPARED = 256
"""Statements that a SQLite connection keeps prepared."""

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
                parsed.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,
                pool_size=8,
                pool_use_lifo=True,
                json_deserializer=read_json,
            )
        elif kind == "sqlite":
            if parsed.database:
                _make_folder(Path(parsed.database).parent)
            self.engine = create_engine(
                parsed,
                pool_size=8,
                max_overflow=24,
                # The one used last has statements and pages still at hand.
                pool_use_lifo=True,
                json_deserializer=read_json,
                connect_args={"cached_statements": PREPARED},
            )
            _set_up_sqlite(self.engine)
        else:
            raise DatabaseError(f"afin keeps its data in SQLite or PostgreSQL, not in {kind}.")
        self.kind = kind
        self._turn: AbstractContextManager[object] = (
            threading.RLock() if kind == "sqlite" else nullcontext()
        )
        self.location = parsed.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads."""
        with self._begin(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes; committed at the end, rolled back on an error."""
        # SQLite asks for its lock again only after 1 to 100 ms; one process's threads need not.
        with self._turn, self._begin(write=True) as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    @contextmanager
    def _begin(self, *, write: bool) -> Iterator[Connection]:
        try:
            connection = self.engine.connect()
        except OperationalError as error:
            raise self._lost(error) from error
        with connection:
            connection = connection.execution_options(afin_write=write)
            try:
                with connection.begin():
                    yield connection
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise self._lost(error) from error
                raise

    def _lost(self, error: DBAPIError) -> LostDatabaseError:
        return LostDatabaseError(
            f"The database {self.location} cannot be reached: {_first_line(error)}. "
            "Start it, or correct AFIN_DATABASE_URL."
        )


def insert_or_update(
    connection: Connection,
    table: Table,
    rows: Sequence[dict[str, Any]],
    *,
    key: Sequence[str],
    update: Sequence[str] = (),
) -> None:
    """Insert rows; where ``key`` exists already, overwrite ``update`` (nothing, if empty).

    Rows that the database does not number go in by the order of their keys: two transactions that
    insert the same ones in different orders would wait for each other, until PostgreSQL ends one.
    """
    if not rows:
        return
    if table.autoincrement_column is None:
        rows = sorted(rows, key=itemgetter(*key))
    if can_insert(connection, table, tuple(rows[0])):
        insert_plainly(connection, table, rows, key=key, update=update)
        return
    # One statement, made once, for any number of rows: naming every value of every row in it took
    # three times the CPU of the rest.
    statement = _upsert(connection.dialect.name, table, tuple(key), tuple(update))
    connection.execute(statement, list(rows))


@cache
def _upsert(dialect: str, table: Table, key: tuple[str, ...], update: tuple[str, ...]) -> Insert:
    plain = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    changed = {name: plain.excluded[name] for name in update}
    made: Insert = (
        plain.on_conflict_do_update(index_elements=list(key), set_=changed)
        if update
        else plain.on_conflict_do_nothing(index_elements=list(key))
    )
    return made


def read_json(text: str | bytes) -> Any:
    """Return what JSON says: a page reads hundreds of verdicts, and this takes a third of json's.

    Half a surrogate pair, which only json takes, is left to it.
    """
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


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
            f"mmap_size = {MAPPED_BYTES}",
            f"wal_autocheckpoint = {PAGES_AHEAD}",
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

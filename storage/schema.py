"""Bringing a database to the newest schema, once, whoever comes first."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from schemas.errors import DatabaseError
from storage.database import Database
from storage.tables import SCHEMA_VERSION

ADVISORY_LOCK = 0x6166696E
"""PostgreSQL's lock is a number: the letters a, f, i, n."""


def migrate(database: Database) -> None:
    """Create or upgrade the tables; safe to call from many processes at once.

    Raises:
        DatabaseError: the database cannot be reached, or a newer afin has written it.
    """
    if _current(database) == SCHEMA_VERSION:
        return
    # It would tell of each plugin and step to people who asked for something else.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Imported here: every command calls this, few have to upgrade.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _locked(database) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(
                f"The database {database.location} was written by a newer afin: "
                "upgrade this one, or use another database."
            ) from error


def _current(database: Database) -> str | None:
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return version


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    """Let one process upgrade at a time; the others find the work done."""
    if database.kind == "postgresql":
        with database.write() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            yield connection
        return
    name = database.engine.url.database
    lock = Path(f"{name}.lock") if name else Path("/dev/null")
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with database.write() as connection:
            yield connection

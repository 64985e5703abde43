"""What a piece of code asks the database, so that tests can count it and see how it is planned."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event

from storage.database import Database


@dataclass(frozen=True)
class Asked:
    """A SELECT with its parameters."""

    text: str
    parameters: Any

    def plan(self, connection: Connection) -> str:
        """How SQLite goes about it, a step a line."""
        steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {self.text}", self.parameters)
        return "\n".join(step[3] for step in steps)


@contextmanager
def listening(database: Database) -> Iterator[list[Asked]]:
    """Collect every SELECT of a database until the block ends."""
    asked: list[Asked] = []

    def note(
        _connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, _many: bool
    ) -> None:
        if text.lstrip().upper().startswith("SELECT"):
            asked.append(Asked(text, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def plans(database: Database, asked: Sequence[Asked]) -> list[str]:
    """How SQLite goes about each."""
    with database.read() as connection:
        return [one.plan(connection) for one in asked]

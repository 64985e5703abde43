"""Many rows written, or asked for by their keys, at little more than what the database costs.

SQLAlchemy takes several times as long to prepare a row's parameters as SQLite takes to store the
row, and as long again to name every key of a query. And SQLite lets go of the interpreter's lock
for every statement: one a row makes a loop that fetches beside it wait for that lock once a row,
one for many rows once for them all.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect

ROWS_AT_ONCE = 50
"""Rows of one statement: to prepare it costs a tenth of running it."""

Row = dict[str, Any]
Bind = Callable[[Any], Any]


def among(
    connection: Connection, column: Column[Any], keys: Collection[int] | Collection[str]
) -> ColumnElement[bool]:
    """Return the condition that a column holds one of ``keys``: one parameter, however many."""
    return _among(connection.dialect.name, column, bind_keys(connection, keys), None)


def among_bound(dialect: str, column: Column[Any], name: str) -> ColumnElement[bool]:
    """Return the same for a query made once; its parameter ``name`` is what ``bind_keys`` says."""
    return _among(dialect, column, None, name)


def bind_keys(connection: Connection, keys: Collection[int] | Collection[str]) -> Any:
    """Return keys as the one parameter of ``among_bound``."""
    return json.dumps(list(keys)) if connection.dialect.name == "sqlite" else list(keys)


def _among(dialect: str, column: Column[Any], value: Any, name: str | None) -> ColumnElement[bool]:
    sqlite = dialect == "sqlite"
    kind = Text() if sqlite else ARRAY(column.type)
    bound: BindParameter[Any] = bindparam(name, value, type_=kind, unique=name is None)
    if not sqlite:
        return column == any_(bound)
    listed = func.json_each(bound).table_valued("value")
    return column.in_(select(listed.c.value))


@dataclass(frozen=True)
class _Shape:
    """How rows of one table with the same names are written: binds, and text around the values."""

    names: tuple[str, ...]
    binds: tuple[tuple[int, Bind], ...]
    constants: tuple[Any, ...]
    head: str
    tail: str

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Write rows, many a statement."""
        one = f"({', '.join('?' * (len(self.names) + len(self.constants)))})"
        values = self._bind(rows)
        for part in _cut(values):
            text = f"{self.head} {', '.join([one] * len(part))} {self.tail}"
            connection.exec_driver_sql(text, tuple(chain.from_iterable(part)))

    def _bind(self, rows: Sequence[Row]) -> list[list[Any]]:
        values = [[*map(row.__getitem__, self.names), *self.constants] for row in rows]
        for place, bind in self.binds:
            # Most rows share the moment they are written at.
            last = bound = None
            for row in values:
                if row[place] is not last:
                    last, bound = row[place], bind(row[place])
                row[place] = bound
        return values


def can_insert(connection: Connection, table: Table, names: Sequence[str]) -> bool:
    """Whether ``insert_plainly`` writes such rows."""
    return connection.dialect.name == "sqlite" and _constants(table, tuple(names)) is not None


def insert_plainly(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    update: Sequence[str],
) -> None:
    """Insert rows into SQLite as ``insert_or_update`` says; all have the names of the first."""
    shape = _insertion(connection.dialect, table, tuple(rows[0]), tuple(key), tuple(update))
    shape.write(connection, rows)


def update_plainly(connection: Connection, table: Table, rows: Sequence[Row], *, key: str) -> None:
    """Overwrite columns of rows in SQLite, each found by ``key``; all name the same columns."""
    if rows:
        _change(connection.dialect, table, tuple(rows[0]), key).write(connection, rows)


@cache
def _constants(table: Table, names: tuple[str, ...]) -> dict[str, Any] | None:
    """What Python gives columns that rows do not name; None where that is not one value for all."""
    constants: dict[str, Any] = {}
    for column in table.columns:
        if column.name in names or column.default is None:
            continue
        if not column.default.is_scalar:
            return None
        constants[column.name] = column.default.arg  # type: ignore[attr-defined]
    return constants


@cache
def _insertion(
    dialect: Dialect,
    table: Table,
    names: tuple[str, ...],
    key: tuple[str, ...],
    update: tuple[str, ...],
) -> _Shape:
    quote = dialect.identifier_preparer.quote
    constants = _constants(table, names) or {}
    columns = ", ".join(quote(name) for name in (*names, *constants))
    changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in update)
    found = ", ".join(quote(name) for name in key)
    return _Shape(
        names=names,
        binds=_binds(dialect, table, names),
        constants=tuple(constants.values()),
        head=f"INSERT INTO {quote(table.name)} ({columns}) VALUES",
        tail=f"ON CONFLICT ({found}) DO " + (f"UPDATE SET {changes}" if changes else "NOTHING"),
    )


@cache
def _change(dialect: Dialect, table: Table, names: tuple[str, ...], key: str) -> _Shape:
    quote = dialect.identifier_preparer.quote
    places = {name: f"given.column{place}" for place, name in enumerate(names, 1)}
    changes = ", ".join(f"{quote(name)} = {places[name]}" for name in names if name != key)
    return _Shape(
        names=names,
        binds=_binds(dialect, table, names),
        constants=(),
        head=f"UPDATE {quote(table.name)} SET {changes} FROM (VALUES",  # noqa: S608 - as above
        tail=f") AS given WHERE {quote(table.name)}.{quote(key)} = {places[key]}",
    )


def _binds(dialect: Dialect, table: Table, names: Sequence[str]) -> tuple[tuple[int, Bind], ...]:
    """What SQLAlchemy does to the values at some places before the driver gets them."""
    types = (table.columns[name].type.dialect_impl(dialect) for name in names)
    binds = ((place, kind.bind_processor(dialect)) for place, kind in enumerate(types))
    return tuple((place, bind) for place, bind in binds if bind is not None)


def _cut(rows: Sequence[list[Any]]) -> Iterator[Sequence[list[Any]]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]

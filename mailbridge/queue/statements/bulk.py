"""One writing statement for many rows, without the work SQLAlchemy does anew for each row.

The statement is written in SQLAlchemy and compiled by it, once for each engine and set of columns; the rows then go to
the driver as they are. Only for columns whose values need no conversion: texts, integers, bytes, None.

SQLite changes many rows in one go: each time an UPDATE begins, it builds the lists of states anew that the partial
indexes name, which costs more than the change itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql import Delete, Insert, Update

from mailbridge.queue.rows import Values

#: a row as the driver takes it by place
_Pick = Callable[[Values], tuple[Any, ...]]

#: rows of one UPDATE at most; their number is rounded up to a power of two, so that few texts are prepared, and kept
_MOST_ROWS = 64
#: SQLite has UPDATE FROM since then
_KNOWS_UPDATE_FROM = sqlite3.sqlite_version_info >= (3, 33)


class Bulk:
    """*statement* for as many rows as there are; their keys are columns and the statement's own parameters.

    An UPDATE is given no row twice.
    """

    def __init__(self, statement: Insert | Update | Delete) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], tuple[str, _Pick | None]] = {}
        #: for one row -> for that many
        self._for_many: dict[tuple[str, int], str] = {}

    def run(self, conn: Connection, rows: Sequence[Values]) -> None:
        """Run the statement for each of *rows*, at least one, all with the keys of the first."""
        dialect, keys = conn.dialect, tuple(rows[0])
        known = self._compiled.get((dialect.name, dialect.paramstyle, *keys))
        if known is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(keys))
            pick = _picking(compiled.positiontup) if compiled.positional else None
            known = self._compiled[dialect.name, dialect.paramstyle, *keys] = (str(compiled), pick)
        sql, pick = known
        if pick is None:
            conn.exec_driver_sql(sql, list(rows))
        elif isinstance(self._statement, Update) and dialect.name == "sqlite" and _KNOWS_UPDATE_FROM and len(rows) > 1:
            for start in range(0, len(rows), _MOST_ROWS):
                self._update_many(conn, sql, [pick(row) for row in rows[start : start + _MOST_ROWS]])
        else:
            conn.exec_driver_sql(sql, [pick(row) for row in rows])

    def _update_many(self, conn: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        room = 1 << (len(rows) - 1).bit_length()
        many = self._for_many.get((sql, room))
        if many is None:
            many = self._for_many[sql, room] = for_many(sql, len(rows[0]), room)
        unused = (None,) * ((room - len(rows)) * len(rows[0]))
        conn.exec_driver_sql(many, (*chain.from_iterable(rows), *unused, len(rows)))


def for_many(sql: str, places: int, room: int) -> str:
    """Return an UPDATE of one row, with so many ``?``, as SQLite's of *room* rows and how many those are.

    Pure; of the statement's own text alone.
    """
    pieces = sql.split("?")
    assert len(pieces) == places + 1, sql
    named = "".join(f"{piece}new.column{number}" for number, piece in enumerate(pieces[:-1], start=1)) + pieces[-1]
    change, _, which = named.partition(" WHERE ")
    row = f"({', '.join('?' * places)})"
    return f"{change} FROM (SELECT * FROM (VALUES {', '.join([row] * room)}) LIMIT ?) AS new WHERE {which}"  # noqa: S608


def _picking(names: Sequence[str]) -> _Pick:
    """Return what makes a row the values of *names*, in their order."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)

"""One writing statement for many rows, without the work SQLAlchemy does anew for each row.

The statement is written in SQLAlchemy and compiled by it, once for each engine and set of columns; the rows then go to
the driver as they are. Only for columns whose values need no conversion: texts, integers, bytes, None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.sql import Delete, Insert, Update

from mailbridge.queue.rows import Values

#: a row as the driver takes it by place
_Pick = Callable[[Values], tuple[Any, ...]]


class Bulk:
    """*statement* for as many rows as there are; their keys are columns and the statement's own parameters."""

    def __init__(self, statement: Insert | Update | Delete) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], tuple[str, _Pick | None]] = {}

    def run(self, conn: Connection, rows: Sequence[Values]) -> None:
        """Run the statement for each of *rows*, at least one, all with the keys of the first."""
        dialect, keys = conn.dialect, tuple(rows[0])
        known = self._compiled.get((dialect.name, dialect.paramstyle, *keys))
        if known is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=list(keys))
            pick = _picking(compiled.positiontup) if compiled.positional else None
            known = self._compiled[dialect.name, dialect.paramstyle, *keys] = (str(compiled), pick)
        sql, pick = known
        conn.exec_driver_sql(sql, list(rows) if pick is None else [pick(row) for row in rows])


def _picking(names: Sequence[str]) -> _Pick:
    """Return what makes a row the values of *names*, in their order."""
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)

"""The queue in an SQLite file: what is its own beside the statements. Engine settings stand in ``sqlite_file.py``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from pathlib import Path

from mailbridge.errors import StoreDamaged
from mailbridge.queue import sqlite_file
from mailbridge.queue.sql_store import SqlStore
from mailbridge.queue.statements import claims


class SqliteStore(SqlStore):
    """A ``Store`` in one file. *exclusive*: be its only daemon (verbs that work beside it are not)."""

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        super().__init__(sqlite_file.SqliteFile(path, exclusive=exclusive))
        self._exclusive = exclusive
        self._data_version: int | None = None

    async def _opened(self) -> None:
        try:
            self._data_version = await self._writer.run_outside(sqlite_file.data_version)
        except StoreDamaged as error:
            raise error.unproven() from error

    async def recover(self, *, node: str, now: datetime, keep: Collection[str] = ()) -> int:
        """Turn what *node* had in ``sending`` into ``unknown``; anybody's, where no other daemon can be."""
        whose = None if self._exclusive else node
        count: int = await self._write(partial(claims.recover, node=whose, now=now, keep=keep))
        return count

    async def changed_outside(self) -> bool:
        """Tell whether another process has committed since the last time this was asked."""
        before = self._data_version
        self._data_version = await self._writer.run_outside(sqlite_file.data_version)
        return self._data_version != before

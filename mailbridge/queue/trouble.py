"""What SQLite's and SQLAlchemy's exceptions mean for us: the one place where a store's foreign errors are mapped."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mailbridge.errors import StoreDamaged, StoreError, StoreFull

#: what may come out of a transaction; the last two are values no database takes (lone surrogates, huge integers)
FOREIGN = (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError, OverflowError)

_NO_ROOM = "there is no room left for the queue"
# https://www.sqlite.org/rescode.html, read from the lowest eight bits unless the whole code is named
_MEANINGS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFull, _NO_ROOM),
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFull, _NO_ROOM),
    sqlite3.SQLITE_CORRUPT: (StoreDamaged, "the queue's file is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreDamaged, "the queue's file is no database"),
    sqlite3.SQLITE_BUSY: (StoreError, "the queue is locked by another process"),
    sqlite3.SQLITE_LOCKED: (StoreError, "the queue is locked by another process"),
    sqlite3.SQLITE_READONLY: (StoreError, "the queue's file cannot be written to"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "the queue's file cannot be opened"),
    sqlite3.SQLITE_IOERR: (StoreError, "the disk of the queue does not work"),
    sqlite3.SQLITE_CONSTRAINT: (StoreError, "the queue holds such a row already"),
}
#: what one call brought with it: a row that is there, a value too big, a statement that is wrong
_OWN = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_ERROR})
#: the connection is as good as before
_HARMLESS = _OWN | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def translate(exc: BaseException) -> StoreError:
    """Return our exception for a foreign one; the caller raises it ``from`` that."""
    code = _code(exc)
    if isinstance(exc, OSError):
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StoreFull(_NO_ROOM)
        return StoreError(f"the queue's file cannot be used: {exc.strerror or type(exc).__name__}")
    if code is None:
        return StoreError(f"the queue cannot do that: {type(exc).__name__}")
    kind, words = _MEANINGS.get(code) or _MEANINGS.get(code & 0xFF) or (StoreError, "the queue cannot do that")
    return kind(words)


def is_disk_trouble(exc: BaseException) -> bool:
    """Tell whether the connection had better be opened anew."""
    code = _code(exc)
    return code is not None and code & 0xFF not in _HARMLESS


def concerns_all(error: BaseException) -> bool:
    """Tell whether an error of a joint transaction would meet each of its jobs alone, too."""
    code = _code(error.__cause__) if isinstance(error, StoreError) else None
    return code is not None and code & 0xFF not in _OWN


def _code(exc: BaseException | None) -> int | None:
    """Return SQLite's extended result code, None where SQLite did not speak."""
    origin = exc.orig if isinstance(exc, DBAPIError) else exc
    code = getattr(origin, "sqlite_errorcode", None)
    return code if isinstance(code, int) else None

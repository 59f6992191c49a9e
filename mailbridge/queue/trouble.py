"""What the engines' and SQLAlchemy's exceptions mean for us: the one place where a store's foreign errors are mapped.

SQLite speaks in numbers, PostgreSQL in texts of five characters; nothing here imports the driver of either.
"""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

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


# https://www.postgresql.org/docs/current/errcodes-appendix.html: the whole code, or its class of two characters.
# A connection that broke has no code: the client noticed it, and the class 08 stands for it here
_LOST = "08"
_STATES: dict[str, tuple[type[StoreError], str]] = {
    "53100": (StoreFull, _NO_ROOM),
    "53": (StoreError, "the database has no memory or connection left"),
    _LOST: (StoreError, "the database cannot be reached"),
    "57P": (StoreError, "the database is stopping or starting"),
    "57014": (StoreError, "the database took too long"),
    "55P03": (StoreError, "the queue is locked by another process"),
    "40": (StoreError, "the queue was changed by another process at the same time"),
    "25006": (StoreError, "the database takes no writes"),
    "25P03": (StoreError, "the database gave up waiting for us"),
    "23": (StoreError, "the queue holds such a row already"),
    "28": (StoreError, "the database does not let us in"),
    "3D": (StoreError, "there is no such database"),
    "42501": (StoreError, "the database does not allow us that"),
    "42": (StoreError, "the queue's tables are not as they should be"),
    "XX001": (StoreDamaged, "the queue's tables are damaged"),
    "XX002": (StoreDamaged, "the queue's tables are damaged"),
    "XX": (StoreError, "the database does not work"),
}
#: after these the connection is gone; after 25006 it leads to a server that is the first one no more
_SPOILT = (_LOST, "57P", "25006", "25P03", "XX")
#: what one call brought with it: values, constraints, statements, and what met another process's change of its rows
_OWN_STATES = ("22", "23", "42", "40")
#: the same call, made again, may see what it collided with: deadlock, serialisation, the other one's new key
_PASSING = ("40001", "40P01", "23505")


def translate(exc: BaseException) -> StoreError:
    """Return our exception for a foreign one; the caller raises it ``from`` that."""
    if isinstance(exc, OSError):
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StoreFull(_NO_ROOM)
        return StoreError(f"the queue's file cannot be used: {exc.strerror or type(exc).__name__}")
    kind, words = _meaning(_code(exc)) or (StoreError, f"the queue cannot do that: {type(exc).__name__}")
    return kind(words)


def spoils_connection(exc: BaseException) -> bool:
    """Tell whether the connection had better be opened anew."""
    code = _code(exc)
    if isinstance(code, str):
        return code.startswith(_SPOILT)
    return code is not None and code & 0xFF not in _HARMLESS


def is_lost(exc: BaseException) -> bool:
    """Tell whether the server went away: what was asked of it last may have been done or not."""
    code = _code(exc)
    return isinstance(code, str) and code.startswith((_LOST, "57P", "25P03"))


def is_passing(error: BaseException) -> bool:
    """Tell whether the same transaction may well succeed when it is run again at once."""
    code = _code(error.__cause__) if isinstance(error, StoreError) else None
    return isinstance(code, str) and code in _PASSING


def concerns_all(error: BaseException) -> bool:
    """Tell whether an error of a joint transaction would meet each of its jobs alone, too."""
    code = _code(error.__cause__) if isinstance(error, StoreError) else None
    if isinstance(code, str):
        return not code.startswith(_OWN_STATES)
    return code is not None and code & 0xFF not in _OWN


def _meaning(code: int | str | None) -> tuple[type[StoreError], str] | None:
    if isinstance(code, str):
        return next((_STATES[part] for part in (code, code[:3], code[:2]) if part in _STATES), None)
    if code is None:
        return None
    return _MEANINGS.get(code) or _MEANINGS.get(code & 0xFF) or (StoreError, "the queue cannot do that")


def _code(exc: BaseException | None) -> int | str | None:
    """Return SQLite's extended result code or PostgreSQL's SQLSTATE, None where neither spoke."""
    origin = exc.orig if isinstance(exc, DBAPIError) else exc
    code = getattr(origin, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code
    state = getattr(origin, "sqlstate", None)
    if isinstance(state, str):
        return state
    # psycopg: the connection broke, or was never there
    is_ours = type(origin).__module__.startswith("psycopg")
    return _LOST if is_ours and isinstance(exc, OperationalError) else None

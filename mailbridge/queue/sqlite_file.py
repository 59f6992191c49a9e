"""One SQLite file as a queue: how it is made, locked, checked, migrated and connected to.

A file is made whole under another name and then put in place, so there never is half a queue. Where a queue was served
before, none is made again: a new one in its place would hide what was promised. A damaged one is set aside under
another name; a file that may not be ours (another kind, another version) is left as it is.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert

from mailbridge.errors import StoreDamaged, StoreError
from mailbridge.queue.reserve import Reserve
from mailbridge.queue.tables import FIRST_ROWS, SCHEMA_REVISION, metadata
from mailbridge.queue.trouble import FOREIGN, translate

#: how long a foreign writer is waited for
#: a mail may wait for one transaction that waits, and then for its own: 451 within twice that
BUSY_TIMEOUT_S = 2.5
#: files up to this size are checked page by page at the start of the daemon (about a second)
QUICK_CHECK_MAX_BYTES = 200_000_000
#: pages in the log between checkpoints; 16 MB: what is saved are the pages written twice in between
LONG_LOG_PAGES = 4000
#: the same on a full disk: a log that begins anew so soon takes no more room
SHORT_LOG_PAGES = 50
#: "MBRq", so that ``file`` and we can tell a queue from other SQLite files
APPLICATION_ID = 0x4D425271

_MAGIC = b"SQLite format 3\0"
_FULL = 2
_ADVICE = "restore a backup, or move the file away to begin with an empty queue"
#: what the lock file holds once a queue stands beside it
_SERVED = b"A queue was served here. Where it is gone, none is made in its place until this file is removed, too.\n"
#: a database and what SQLite keeps beside it: they belong together, or they are worth nothing
_PARTS = ("", "-wal", "-shm", "-journal")


class _Corrupt(Exception):
    """A file in a queue's place that cannot be read."""


class SqliteFile:
    """The file and its engines."""

    #: a file answers each commit, or the process is gone
    fate = None
    hang_up = None
    patience_s = None

    def __init__(self, path: Path, *, exclusive: bool) -> None:
        self.path = path
        #: SQL statements executed through the engines so far
        self.statements = 0
        self.exclusive = exclusive
        self._lock_fd: int | None = None
        # verbs come and go beside the daemon, whose reserve it is
        self._reserve = Reserve(self._named(".reserve")) if exclusive else None
        self.room = LogRoom(self._reserve)

    # -- engines
    def writing_engine(self) -> Engine:
        """Return the engine of the one writer: each transaction takes the write lock at once, each commit syncs."""
        log = (f"wal_autocheckpoint = {LONG_LOG_PAGES}", "journal_size_limit = 67108864")
        pragmas = ("synchronous = FULL", "cache_size = -1000", *log)
        return self._engine("BEGIN IMMEDIATE", pragmas)

    def reading_engine(self) -> Engine:
        """Return an engine that cannot write."""
        return self._engine("BEGIN", ("query_only = ON", "cache_size = -500"))

    def _engine(self, begin: str, pragmas: tuple[str, ...]) -> Engine:
        def connect() -> sqlite3.Connection:
            conn = _connect(self.path, "rw")
            for pragma in ("foreign_keys = ON", "temp_store = MEMORY", *pragmas):
                conn.execute(f"PRAGMA {pragma}")
            conn.create_function("casefold", 1, _casefold, deterministic=True)
            return conn

        engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
        event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
        event.listen(engine, "before_cursor_execute", self._count)
        return engine

    def _count(self, *_: Any) -> None:
        self.statements += 1

    # -- opening
    def prepare(self) -> None:
        """Lock, make, check and migrate the file. Raises: StoreDamaged, StoreError with words for the operator."""
        folder = self.path.parent
        if not folder.is_dir():
            raise StoreError(f"the queue's folder {folder} does not exist")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"the queue's folder {folder} cannot be written to")
        if self.exclusive:
            self._lock()
        try:
            self._make_or_check_twice()
        except _Corrupt as exc:
            raise self._set_aside(str(exc)) from exc
        except FOREIGN as exc:
            error = translate(exc)
            if isinstance(error, StoreDamaged):
                raise self._set_aside(str(error)) from exc
            raise type(error)(f"{self.path}: {error}") from exc
        self._note_served()
        if self._reserve is not None:
            with suppress(OSError):  # a full disk: the next mail asks again
                self._reserve.take()

    def release(self) -> None:
        """Let another daemon have the file."""
        if self._lock_fd is not None:
            if self._reserve is not None:
                self._reserve.remove()
            os.close(self._lock_fd)
            self._lock_fd = None

    def announce(self, conn: Connection) -> None:
        """Say nothing: who has the file open looks at ``data_version``."""

    def _lock(self) -> None:
        try:
            self._lock_fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreError(f"the queue {self.path} is served by another mailbridge already") from exc
        except OSError as exc:
            raise StoreError(f"the queue's lock {self._lock_path} cannot be taken: {exc.strerror}") from exc

    # -- what was here before
    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def _was_served(self) -> bool:
        try:
            return self._lock_path.stat().st_size > 0
        except OSError:
            return False

    def _note_served(self) -> None:
        """Write down that there is a queue; where the disk does not take it now, the next start does."""
        if self._lock_fd is not None and not self._was_served():
            with suppress(OSError):
                os.write(self._lock_fd, _SERVED)

    def _set_aside(self, why: str) -> StoreDamaged:
        """Give a damaged queue of ours, with its log, another name, and return the words to refuse the start with.

        A copy put back must find neither the damaged file, which it would replace, nor its log, which SQLite would
        apply to it.
        """
        if not (self.exclusive and self._was_served()):
            return StoreDamaged(f"{self.path}: {why}: {_ADVICE}")
        aside = self._free_name()
        try:
            for part in reversed(_PARTS):  # the file itself last: until then, the next start finds it and goes on
                with suppress(FileNotFoundError):
                    self._named(part).rename(f"{aside}{part}")
        except OSError as exc:
            return StoreDamaged(f"{self.path}: {why}, and it cannot be set aside: {exc.strerror}")
        return StoreDamaged(f"{self.path}: {why}; it is set aside as {aside.name}: {self._advice_for_nothing()}")

    def _named(self, part: str) -> Path:
        return self.path.with_name(self.path.name + part)

    def _free_name(self) -> Path:
        numbers = (self._named(f".damaged-{number}") for number in itertools.count(1))
        return next(name for name in numbers if not any(Path(f"{name}{part}").exists() for part in _PARTS))

    def _advice_for_nothing(self) -> str:
        return f"restore a backup, or remove {self._lock_path.name}, too, to begin with an empty queue"

    # -- making and checking
    def _make_or_check_twice(self) -> None:
        """Believe in damage when every byte can be read and it is still there: SQLite says so of read errors, too."""
        try:
            self._make_or_check()
        except (_Corrupt, *FOREIGN) as exc:
            if not isinstance(exc, _Corrupt) and not isinstance(translate(exc), StoreDamaged):
                raise
            self._read_whole()
            self._make_or_check()

    def _read_whole(self) -> None:
        """Raises OSError where the disk does not give the file."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at = 0
            while block := os.pread(fd, 1_048_576, at):
                at += len(block)
        finally:
            os.close(fd)

    def _make_or_check(self) -> None:
        if not self.path.exists():
            if self._was_served():
                raise StoreDamaged(f"the queue {self.path} was here and is gone: {self._advice_for_nothing()}")
            self._make()
        self._check_header()
        self._check_inside()

    def _make(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise StoreDamaged(f"the queue {self.path} is gone but its log {log} is there: {_ADVICE}")
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # readable by us alone
        os.close(fd)
        new = Path(name)
        try:
            _fill(new)
            _put_in_place(new, self.path)
        finally:
            new.unlink(missing_ok=True)

    def _check_header(self) -> None:
        with self.path.open("rb") as file:
            start = file.read(len(_MAGIC))
        if not start:
            raise StoreDamaged(f"the queue {self.path} is an empty file: {_ADVICE}")
        if start != _MAGIC:
            raise _Corrupt("this is no SQLite file")

    def _check_inside(self) -> None:
        conn = _connect(self.path, "rw")
        try:
            self._check_revision(conn)
            if self.exclusive and self.path.stat().st_size <= QUICK_CHECK_MAX_BYTES:
                (verdict,) = conn.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise _Corrupt("the queue is damaged")
            if _write_ahead(conn) != "wal":
                raise StoreError(f"the disk of the queue {self.path} does not allow SQLite's write-ahead log")
            conn.execute("PRAGMA synchronous = FULL")
            if conn.execute("PRAGMA synchronous").fetchone() != (_FULL,):
                raise StoreError(f"the queue {self.path} cannot be made to sync each commit")
        finally:
            conn.close()

    def _check_revision(self, conn: sqlite3.Connection) -> None:
        if conn.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise StoreDamaged(f"{self.path} is an SQLite file but no queue of mailbridge: {_ADVICE}")
        revision = _revision_of(conn)
        if revision is None:
            raise StoreDamaged(f"the queue {self.path} does not say its version: {_ADVICE}")
        if revision == SCHEMA_REVISION:
            return
        from mailbridge.queue.migrate import is_known, upgrade  # noqa: PLC0415 - Alembic costs memory and time

        if not is_known(revision):
            raise StoreDamaged(f"the queue {self.path} was written by a newer mailbridge (revision {revision})")
        engine = self.writing_engine()
        with engine.connect() as migrating, migrating.begin():
            upgrade(migrating)


def _revision_of(conn: sqlite3.Connection) -> str | None:
    if not conn.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").fetchall():
        return None
    (revision,) = conn.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
    return revision


def data_version(conn: Connection) -> int:
    """Return a number that changes whenever another connection has committed."""
    return int(_pragma(conn, "data_version")[0])


class LogRoom:
    """Room for transactions on a full disk: that of the log, which can begin anew, and then that of *reserve*."""

    def __init__(self, reserve: Reserve | None) -> None:
        self._reserve = reserve

    @property
    def stands(self) -> bool:
        """Nothing is to be done to keep room back."""
        return self._reserve is None or self._reserve.stands

    def take(self, conn: Connection) -> None:
        """Have room kept back again. Raises OSError while there is none."""
        if self._reserve is not None:
            self._reserve.take()
            _checkpoint_each(conn, LONG_LOG_PAGES)

    def reuse(self, conn: Connection) -> None:
        """Move what the log holds into the file, so that the next transaction writes over the log and not after it."""
        with suppress(*FOREIGN):  # what does not move now stays in the log
            _pragma(conn, "wal_checkpoint(PASSIVE)")

    def give_up(self, conn: Connection) -> bool:
        """Let the queue have the reserve; False where there is none."""
        if self._reserve is None or not self._reserve.stands:
            return False
        self._reserve.give_up()
        # a long log would take the reserve alone; a short one begins anew in the same place
        _checkpoint_each(conn, SHORT_LOG_PAGES)
        self.reuse(conn)
        return True


def _checkpoint_each(conn: Connection, pages: int) -> None:
    """Let the log begin anew whenever it holds that many *pages*."""
    _pragma(conn, f"wal_autocheckpoint = {pages}")


def _pragma(conn: Connection, words: str) -> Any:
    # past SQLAlchemy, which would begin a transaction for it
    cursor = conn.connection.cursor()
    cursor.execute(f"PRAGMA {words}")
    return cursor.fetchone()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _write_ahead(conn: sqlite3.Connection) -> str:
    """Turn the write-ahead log on and return the mode that holds then.

    SQLite does not wait for this change by itself where another opens the same new file at that moment.
    """
    gives_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(conn.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as busy:
            if busy.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > gives_up_at:
                raise
        time.sleep(0.02)


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _fill(path: Path) -> None:
    engine = create_engine("sqlite://", creator=lambda: _connect(path, "rw"), poolclass=NullPool)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as conn, conn.begin():
        conn.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        metadata.create_all(conn)
        for table, row in FIRST_ROWS:
            conn.execute(insert(table), row)
        conn.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        conn.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA_REVISION,))


def _put_in_place(new: Path, path: Path) -> None:
    """Give *new* its name, unless another process was faster."""
    try:
        os.link(new, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""One PostgreSQL database as a queue: how it is connected to, checked, filled, migrated, and how its processes meet.

libpq reads the URL, so all it understands works: several hosts, ``sslmode``, ``~/.pgpass``, a unix socket.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, insert, select, text

from mailbridge.errors import StoreDamaged, StoreError
from mailbridge.queue.tables import FIRST_ROWS, IN_POSTGRESQL, NUL_STAND_IN, SCHEMA_REVISION, WORKS_WITH, meta, metadata
from mailbridge.queue.trouble import FOREIGN, translate

#: one word for all that our processes tell each other
CHANNEL = "mailbridge"
#: a server that does not answer is given up by the client within about this time
CONNECT_TIMEOUT_S = 3
_SILENT_S = 10
#: PostgreSQL 13 tells whether a transaction has written anything
_OLDEST = 130_000

#: set on each connection. A node that freezes inside a transaction lets its rows go long before its lease is over
_SETTINGS = {
    "lock_timeout": "2500ms",
    "statement_timeout": f"{_SILENT_S}s",
    "idle_in_transaction_session_timeout": "8s",
    "default_transaction_isolation": "read committed",
    "client_encoding": "UTF8",
}
#: any number nobody else would take: "MBRq"
_LOCK = 0x4D425271

_TABLES_THERE = text("SELECT to_regclass('messages') IS NOT NULL, to_regclass('alembic_version') IS NOT NULL")
_REVISION = text("SELECT version_num FROM alembic_version")
_WORKS_WITH = select(meta.c.value).where(meta.c.name == WORKS_WITH)
_SET_REVISION = text("INSERT INTO alembic_version VALUES (:revision)")
_MAKE_REVISION = text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
_MARK = text(
    "INSERT INTO writers (name, commits, at) SELECT :name, :commits, :at "
    "WHERE pg_current_xact_id_if_assigned() IS NOT NULL "
    "ON CONFLICT (name) DO UPDATE SET commits = excluded.commits, at = excluded.at"
)
#: these wait for a transaction of the lost connection that may still be at it: its first mark, and any other
_FIRST_MARK = text("INSERT INTO writers (name, commits, at) VALUES (:name, 0, :at) ON CONFLICT (name) DO NOTHING")
_FIND_MARK = text("SELECT commits FROM writers WHERE name = :name FOR UPDATE")
_FORGET_WRITERS = text("DELETE FROM writers WHERE at < :before")
_KEEP_WRITERS_US = 7 * 86400 * 1_000_000
_ANNOUNCE = text("SELECT pg_notify(:channel, :who)")


class PostgresServer:
    """The database and its engines."""

    #: the disk is the server's: room kept back on ours would not help it
    room = None
    patience_s = 15.0

    def __init__(self, url: str) -> None:
        self._url = url
        #: SQL statements executed through the engines so far
        self.statements = 0
        #: tells our own announcements from those of others
        self.token = secrets.token_hex(8)
        self.fate = Marks(self.token)

    # -- engines
    def writing_engine(self) -> Engine:
        """Return the engine of the one writer: each commit waits for the disk."""
        return self._engine()

    def reading_engine(self) -> Engine:
        """Return an engine that cannot write."""
        return self._engine(default_transaction_read_only="on", statement_timeout="30s")

    def _engine(self, **settings: str) -> Engine:
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: connect(self._url, **settings), poolclass=NullPool,
            use_native_hstore=False,
        )  # fmt: skip
        event.listen(engine, "before_cursor_execute", self._count)
        return engine

    def _count(self, *_: Any) -> None:
        self.statements += 1

    # -- opening
    def prepare(self) -> None:
        """Check the server, make or migrate the tables. Raises: StoreDamaged, StoreError, in an operator's words."""
        try:
            with self._engine(lock_timeout="60s", statement_timeout="300s").connect() as conn, conn.begin():
                _check_server(conn)
                # of several nodes that start at once on an empty or older database one does the work
                conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                _fill_or_check(conn)
                conn.execute(_FORGET_WRITERS, {"before": _now_us() - _KEEP_WRITERS_US})
        except FOREIGN as exc:
            error = translate(exc)
            raise type(error)(f"{error}{_libpq_words(exc)}") from exc

    def release(self) -> None:
        """There is nothing to give up: nodes do not exclude each other."""

    def hang_up(self, conn: Connection, in_any_case: bool) -> None:
        """Cut *conn*, which says nothing, *in_any_case* or where another server has taken the place of its own.

        One that is busy comes to an end by itself, and to hang up would be for nothing where no server answers.
        """
        line = conn.connection.driver_connection
        with suppress(psycopg.Error, OSError):
            if isinstance(line, _Line) and (in_any_case or self._is_replaced(line)):
                with socket.socket(fileno=os.dup(line.fileno())) as end:
                    end.shutdown(socket.SHUT_RDWR)

    def _is_replaced(self, line: _Line) -> bool:
        with connect(self._url) as other:
            return line.server != other.server

    def announce(self, conn: Connection) -> None:
        """With the commit, tell all others that something is due."""
        conn.execute(_ANNOUNCE, {"channel": CHANNEL, "who": self.token})


class Marks:
    """A number that each transaction of one process leaves behind, committed with what it wrote."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def mark(self, conn: Connection) -> str | None:
        """Leave the next number; None where the transaction has written nothing."""
        self._count += 1
        left = conn.execute(_MARK, {"name": self._name, "commits": self._count, "at": _now_us()})
        return str(self._count) if left.rowcount else None

    def is_committed(self, conn: Connection, mark: str) -> bool | None:
        """Tell whether *mark* is there."""
        conn.execute(_FIRST_MARK, {"name": self._name, "at": _now_us()})
        return conn.execute(_FIND_MARK, {"name": self._name}).scalar_one_or_none() == int(mark)


class _Text(StrDumperUnknown):
    """Texts may hold NUL; PostgreSQL's do not."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", NUL_STAND_IN) if "\0" in obj else obj)


class _Line(psycopg.Connection[Any]):
    """A connection that knows its server."""

    #: when it began: no two of those that could take each other's place have that in common
    server = ""


def connect(url: str, **settings: str) -> _Line:
    """Connect to the first server of *url* that takes writes."""
    conn = _Line.connect(url, autocommit=True, **CONNECTION)
    try:
        wanted = _SETTINGS | settings
        conn.execute(b";".join(_set(name, value).as_bytes(conn) for name, value in wanted.items()))
        # a database may be set not to wait for the disk; what is answered with 250 must
        conn.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        conn.server = str((conn.execute("SELECT pg_postmaster_start_time()").fetchone() or ("",))[0])
        conn.adapters.register_dumper(str, _Text)
        conn.autocommit = False
    except BaseException:
        conn.close()
        raise
    return conn


#: what libpq is to do about servers that are silent, or not the first any more
CONNECTION: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "target_session_attrs": "read-write",
    "tcp_user_timeout": _SILENT_S * 1000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "application_name": "mailbridge",
}


def _set(name: str, value: str) -> sql.Composed:
    return sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))


def _now_us() -> int:
    return time.time_ns() // 1000


def _libpq_words(exc: BaseException) -> str:
    """Return what libpq says of a failed connection: it names host and user, never a password."""
    origin = getattr(exc, "orig", None)
    if not isinstance(origin, psycopg.OperationalError):
        return ""
    return ": " + " ".join(str(origin).split())


def _check_server(conn: Connection) -> None:
    version = int(conn.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version < _OLDEST:
        raise StoreError("the database is older than PostgreSQL 13")
    if conn.exec_driver_sql("SHOW server_encoding").scalar_one() != "UTF8":
        raise StoreError("the database is not in UTF8: create one with createdb -E UTF8 -T template0")
    for setting, why in (("fsync", "does not write to its disk"), ("synchronous_commit", "does not wait for its disk")):
        if conn.exec_driver_sql(f"SHOW {setting}").scalar_one() == "off":
            raise StoreError(f"the database {why} ({setting} is off): what is answered with 250 would not be safe")


def _fill_or_check(conn: Connection) -> None:
    is_filled, has_revision = conn.execute(_TABLES_THERE).one()
    if not is_filled and not has_revision:
        _fill(conn)
        return
    revision = conn.execute(_REVISION).scalar_one_or_none() if has_revision else None
    if revision == SCHEMA_REVISION and is_filled:
        return
    from mailbridge.queue.migrate import is_known, upgrade  # noqa: PLC0415 - Alembic costs memory and time

    if not is_filled or revision is None:
        raise StoreDamaged("the database holds tables of another program: give the queue a database of its own")
    if is_known(revision):
        upgrade(conn)
        return
    # nodes are brought up to date one after the other, and one of the older ones may have to start again meanwhile
    oldest = conn.execute(_WORKS_WITH).scalar_one_or_none()
    if oldest is None or oldest > SCHEMA_REVISION:
        raise StoreDamaged(f"the queue in the database was written by a newer mailbridge (revision {revision})")


def _fill(conn: Connection) -> None:
    # said here and not where the tables are: to name an option of PostgreSQL loads megabytes into every bridge
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        own = index.info.get(IN_POSTGRESQL)
        index.dialect_options["postgresql"]["where"] = text(own) if own else index.dialect_options["sqlite"]["where"]
    metadata.create_all(conn)
    for table, row in FIRST_ROWS:
        conn.execute(insert(table), row)
    conn.execute(_MAKE_REVISION)
    conn.execute(_SET_REVISION, {"revision": SCHEMA_REVISION})

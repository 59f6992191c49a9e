"""From a queue URL of the configuration to a store; engines are imported when asked for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mailbridge.errors import StoreError
from mailbridge.queue.contract import Store

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")


def is_made(url: str) -> bool:
    """Tell whether opening the store of *url* would find one, not make one; only a file can be missing."""
    return not url.startswith(_SQLITE) or Path(url.removeprefix(_SQLITE)).exists()


def open_store(url: str, *, exclusive: bool = False) -> Store:
    """Return the store of *url*, yet to be opened by its ``open()``.

    ``sqlite:////absolute/path``, ``sqlite:///relative/path``, ``postgresql://user@host/database`` or ``memory:``.
    *exclusive* is for the daemon: two of them on one file are refused; verbs leave it out and work beside the daemon.
    Raises: StoreError for any other URL; its text never repeats the URL, which may hold a password.
    """
    if url == "memory:":
        from mailbridge.queue.memory import MemoryStore  # noqa: PLC0415 - a daemon needs one of the two

        return MemoryStore()
    if url.startswith(_SQLITE) and (path := url.removeprefix(_SQLITE)) not in {"", "/", ":memory:"}:
        from mailbridge.queue.sqlite import SqliteStore  # noqa: PLC0415

        return SqliteStore(Path(path), exclusive=exclusive)
    if url.startswith(_POSTGRESQL):
        if find_spec("psycopg") is None:
            raise StoreError("a queue in PostgreSQL needs its driver: pip install 'mailbridge[postgres]'")
        from mailbridge.queue.postgres import PostgresStore  # noqa: PLC0415 - most have no use for it

        return PostgresStore(url, listens=exclusive)
    raise StoreError(f"no queue of the kind {url.partition(':')[0]!r}; write sqlite:////absolute/path")

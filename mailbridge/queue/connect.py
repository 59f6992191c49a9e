"""From a queue URL of the configuration to a store; engines are imported when asked for."""

from __future__ import annotations

from pathlib import Path

from mailbridge.errors import StoreError
from mailbridge.queue.contract import Store

_SQLITE = "sqlite:///"


def open_store(url: str, *, exclusive: bool = False) -> Store:
    """Return the store of *url*, yet to be opened by its ``open()``.

    ``sqlite:////absolute/path``, ``sqlite:///relative/path`` or ``memory:``. *exclusive* is for the daemon: two of them
    on one file are refused; verbs leave it out and work beside the daemon.
    Raises: StoreError for any other URL; its text never repeats the URL, which may hold a password.
    """
    if url == "memory:":
        from mailbridge.queue.memory import MemoryStore  # noqa: PLC0415 - a daemon needs one of the two

        return MemoryStore()
    if url.startswith(_SQLITE) and (path := url.removeprefix(_SQLITE)) not in {"", "/", ":memory:"}:
        from mailbridge.queue.sqlite import SqliteStore  # noqa: PLC0415

        return SqliteStore(Path(path), exclusive=exclusive)
    scheme = url.partition(":")[0]
    if scheme.partition("+")[0] in {"postgresql", "postgres"}:
        raise StoreError("a queue in PostgreSQL is not in this version; write sqlite:////absolute/path")
    raise StoreError(f"no queue of the kind {scheme!r}; write sqlite:////absolute/path")

"""A queue filled for the benchmarks is one the bridge could have written."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench import fill
from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from mailbridge.queue.sqlite import SqliteStore
from tests.support.queue import claim, together

COUNT = 300
ONLY_STATE = {"waiting": State.QUEUED, "due": State.QUEUED, "finished": State.DELIVERED}


@pytest.mark.parametrize("kind", sorted(fill.SPREAD))
async def test_the_bridge_takes_it_for_its_own(tmp_path: Path, kind: str) -> None:
    """The file is whole, all rows belong together, every message reads, and only what is due is claimed."""
    path = tmp_path / "queue.db"
    await asyncio.to_thread(fill.fill, path, kind, COUNT)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    store = SqliteStore(path, exclusive=True)
    await store.open()
    try:
        assert dict(await store.count_states()) == {ONLY_STATE[kind]: COUNT}
        rows = await store.find(Filter(limit=COUNT))
        assert len({row.id for row in rows}) == len(rows) == COUNT
        assert rows[0].created_at - rows[-1].created_at > fill.SPREAD[kind] * 0.99
        mail = await store.get_mail(rows[-1].mail_id)
        assert mail is not None
        assert mail.received_at == rows[-1].created_at
        claimed = await claim(store, datetime.now(UTC) + timedelta(seconds=1), plan=together)
        assert sum(len(request.messages) for request in claimed) == (100 if kind == "due" else 0)
    finally:
        await store.close()


@pytest.mark.parametrize("kind", sorted(fill.SPREAD))
def test_it_has_every_index_of_an_empty_queue(tmp_path: Path, kind: str) -> None:
    """Indexes and triggers are those the bridge has made."""

    def schema(path: Path) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(path)) as conn:
            return set(conn.execute("SELECT name, sql FROM sqlite_schema").fetchall())

    fill.fill(tmp_path / "one.db", kind, 1)
    fill.fill(tmp_path / "many.db", kind, 20)
    assert schema(tmp_path / "one.db") == schema(tmp_path / "many.db")
    with closing(sqlite3.connect(tmp_path / "many.db")) as conn:
        assert "history_append_only" in {name for name, _ in schema(tmp_path / "many.db")}
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_finished_message_has_its_whole_history(tmp_path: Path) -> None:
    """Queued, attempt, sent, delivered: of the newest as of every copy."""
    fill.fill(tmp_path / "queue.db", "finished", 20)
    assert fill.entries_each(tmp_path / "queue.db") == 4
    with closing(sqlite3.connect(tmp_path / "queue.db")) as conn:
        assert conn.execute("SELECT count(*), count(DISTINCT message_id) FROM history").fetchone() == (80, 20)
        assert conn.execute("SELECT count(DISTINCT gateway_id) FROM attempts").fetchone() == (20,)

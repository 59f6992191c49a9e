"""A queue's file: making, locking, refusing, surviving a sick disk."""

import asyncio
import os
import sqlite3
import stat
import time

import pytest

from mailbridge.cli.common import opened_store
from mailbridge.config.model import Config, Queue
from mailbridge.errors import StoreDamaged, StoreError, StoreFull
from mailbridge.queue.connect import open_store
from mailbridge.queue.sqlite_file import SqliteFile
from mailbridge.queue.tables import SCHEMA_REVISION
from tests.support.queue import BACK_TO_THE_FIRST, NOW, claim, new_mail, one


@pytest.fixture
def path(tmp_path):
    """Return where the queue is to be."""
    return tmp_path / "queue.db"


def at(path, **fields):
    """Return a daemon's store at *path*, not yet opened."""
    return open_store(f"sqlite:///{path}", **({"exclusive": True} | fields))


async def make(path, *mails):
    """Leave a queue with *mails* at *path*."""
    store = at(path)
    await store.open()
    for mail in mails:
        await store.put(mail)
    await store.close()


async def refused(path, kind=StoreDamaged):
    """Open *path*, expect *kind*, and return its words."""
    store = at(path)
    with pytest.raises(kind) as caught:
        await store.open()
    await store.close()
    assert type(caught.value) is kind
    return str(caught.value)


class TestOpening:
    async def test_what_was_put_is_there_after_reopening(self, path):
        await make(path, new_mail("M1"))
        store = at(path)
        await store.open()
        assert (await one(store, "M1.1")).mail_id == "M1"
        await store.close()

    async def test_a_new_file_is_private_and_leaves_nothing_beside_it(self, path):
        await make(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {entry.name for entry in path.parent.iterdir()} == {"queue.db", "queue.db.lock"}

    async def test_each_commit_syncs(self, path):
        """Write-ahead log with synchronous=FULL (2): a kill cannot show this, only the engine's own word."""
        await make(path)
        file = SqliteFile(path, exclusive=False)
        with file.writing_engine().connect() as conn:
            assert conn.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert conn.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1

    async def test_readers_cannot_write(self, path):
        await make(path)
        with SqliteFile(path, exclusive=False).reading_engine().connect() as conn:
            assert conn.exec_driver_sql("PRAGMA query_only").scalar_one() == 1

    async def test_two_daemons_on_one_file_are_refused_and_a_verb_is_not(self, path):
        first = at(path)
        await first.open()
        assert "another mailbridge" in await refused(path, StoreError)
        verb = at(path, exclusive=False)
        await verb.open()
        await verb.put(new_mail("M1"))
        assert (await one(first, "M1.1")).mail_id == "M1"
        await verb.close()
        await first.close()
        await make(path)

    async def test_another_process_is_noticed_once(self, path):
        first, verb = at(path), at(path, exclusive=False)
        await first.open()
        await verb.open()
        assert await first.changed_outside() is False
        await first.put(new_mail("M1"))
        assert await first.changed_outside() is False
        await verb.put(new_mail("M2"))
        assert await first.changed_outside() is True
        assert await first.changed_outside() is False
        await verb.close()
        await first.close()

    async def test_several_make_the_same_file_at_once(self, path):
        stores = [at(path, exclusive=False) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.put(new_mail(f"M{n}")) for n, store in enumerate(stores)))
        assert sum((await stores[0].count_states()).values()) == 4
        for store in stores:
            await store.close()


class TestRefusing:
    async def test_a_missing_folder_is_named(self, tmp_path):
        assert "does not exist" in await refused(tmp_path / "none" / "queue.db", StoreError)

    async def test_an_empty_file_is_no_new_queue(self, path):
        """It may be what a crash left of a queue."""
        path.touch()
        assert "empty file" in await refused(path)
        assert path.stat().st_size == 0

    async def test_a_text_file_is_refused_and_left_as_it_is(self, path):
        path.write_text("dear diary" * 999)
        assert "no SQLite file" in await refused(path)
        assert path.read_text() == "dear diary" * 999

    async def test_an_sqlite_file_of_somebody_else_is_refused(self, path):
        with sqlite3.connect(path) as conn:
            conn.execute("CREATE TABLE songs (title)")
        assert "no queue of mailbridge" in await refused(path)

    async def test_a_damaged_page_is_found_at_the_start(self, path):
        await make(path, *(new_mail(f"M{n}") for n in range(200)))
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 2 // 4096 * 4096)
            file.write(os.urandom(40_000))
        damaged = path.read_bytes()
        assert "set aside as queue.db.damaged-1: restore a backup, or remove queue.db.lock" in await refused(path)
        aside = path.with_name("queue.db.damaged-1")
        assert (aside.read_bytes(), aside.stat().st_size) == (damaged, size)

    async def test_a_truncated_file_is_found_at_the_start(self, path):
        await make(path, *(new_mail(f"M{n}") for n in range(200)))
        os.truncate(path, 8192)
        await refused(path)

    @pytest.mark.parametrize("damage", [b"", b"dear diary" * 999], ids=["damaged", "of another kind"])
    async def test_after_a_damaged_queue_no_new_one_is_made_until_a_person_says_so(self, path, damage):
        """Each start refuses, for a verb as for the daemon; a backup in its place is served, and so is a new queue."""
        await make(path, new_mail("M1"))
        backup = path.read_bytes()
        path.write_bytes(damage or backup[:-5000])
        await refused(path)
        assert "was here and is gone" in await refused(path)
        with pytest.raises(StoreDamaged):
            await at(path, exclusive=False).open()
        assert not path.exists()
        path.write_bytes(backup)
        store = at(path)
        await store.open()
        assert (await one(store, "M1.1")).mail_id == "M1"
        await store.close()
        path.unlink()
        path.with_name("queue.db.lock").unlink()
        await make(path)
        assert path.exists()
        assert path.with_name("queue.db.damaged-1").exists()

    async def test_what_lies_aside_is_never_written_over(self, path):
        await make(path)
        for number in (1, 2, 3):
            path.write_bytes(b"x" * number)
            await refused(path)
            assert path.with_name(f"queue.db.damaged-{number}").read_bytes() == b"x" * number

    async def test_the_log_goes_with_the_damaged_queue(self, path):
        """Left behind, it would be applied to the backup that is put in the queue's place."""
        await make(path)
        path.write_bytes(b"dear diary" * 999)
        path.with_name("queue.db-wal").write_bytes(b"the log")
        await refused(path)
        assert path.with_name("queue.db.damaged-1-wal").read_bytes() == b"the log"
        assert not path.with_name("queue.db-wal").exists()

    async def test_a_verb_moves_nothing(self, path):
        await make(path)
        path.write_bytes(b"dear diary" * 999)
        with pytest.raises(StoreDamaged):
            await at(path, exclusive=False).open()
        assert path.read_bytes() == b"dear diary" * 999

    async def test_a_queue_that_does_not_say_its_version_is_refused(self, path):
        await make(path)
        with sqlite3.connect(path) as conn:
            conn.execute("DELETE FROM alembic_version")
        assert "does not say its version" in await refused(path)
        with sqlite3.connect(path) as conn:
            conn.execute("DROP TABLE alembic_version")
        assert "does not say its version" in await refused(path)

    async def test_a_log_without_its_queue_is_no_new_queue(self, path):
        path.with_name("queue.db-wal").write_bytes(b"x" * 5000)
        assert "its log" in await refused(path)
        assert not path.exists()

    async def test_a_newer_version_is_refused(self, path):
        await make(path)
        with sqlite3.connect(path) as conn:
            conn.execute("UPDATE alembic_version SET version_num = '9999'")
        assert "newer mailbridge" in await refused(path)

    async def test_a_folder_in_its_place_is_refused(self, path):
        path.mkdir()
        await refused(path, StoreError)

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("postgresql+asyncpg://u:s3cret@h/db", "no queue of the kind 'postgresql\\+asyncpg'"),
            ("mysql://u:s3cret@h/db", "no queue of the kind 'mysql'"),
            ("sqlite:///", "write sqlite:////absolute/path"),
            ("sqlite:///:memory:", "write sqlite:////absolute/path"),
            ("", "write sqlite:////absolute/path"),
        ],
    )
    def test_other_urls_are_refused_without_their_secrets(self, url, words):
        with pytest.raises(StoreError, match=words) as caught:
            open_store(url)
        assert "s3cret" not in str(caught.value)


class TestTrouble:
    @pytest.mark.slow
    async def test_a_foreign_writer_costs_a_temporary_error_and_never_the_loop(self, path):
        """All that waited hear of it together after about five seconds, and the next call works."""
        store = at(path)
        await store.open()
        foreign = sqlite3.connect(path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        started, lags = time.monotonic(), []

        async def watch():
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                lags.append(time.monotonic() - before)

        watcher = asyncio.create_task(watch())
        results = await asyncio.gather(*(store.put(new_mail(f"M{n}")) for n in range(9)), return_exceptions=True)
        watcher.cancel()
        assert {type(result) for result in results} == {StoreError}
        assert time.monotonic() - started < 12  # the first call may have gone ahead of the others
        assert max(lags) < 1
        assert await store.get_messages("M1") == []
        foreign.execute("ROLLBACK")
        foreign.close()
        await store.put(new_mail("M1"))
        await store.close()

    async def test_a_full_file_is_told_apart_and_recovered_from(self, path):
        """SQLite's own page limit stands in for the disk's end."""
        store = at(path)
        await store.open()
        await store._writer.run_outside(
            lambda conn: conn.connection.cursor().execute("PRAGMA max_page_count = 80") and None
        )
        mails = (store.put(new_mail(f"M{n}", original=b"x" * 9000)) for n in range(99))
        results = [(await asyncio.gather(mail, return_exceptions=True))[0] for mail in mails]
        kept = sum((await store.count_states()).values())
        assert {type(result) for result in results[kept:]} == {StoreFull}
        assert 0 < kept < 99
        await store._writer.run_outside(
            lambda conn: conn.connection.cursor().execute("PRAGMA max_page_count = 9999") and None
        )
        await store.put(new_mail("AFTER"))
        assert sum((await store.count_states()).values()) == kept + 1
        await store.close()

    async def test_a_file_that_may_not_be_written_is_a_store_error(self, path):
        store = at(path)
        await store.open()
        await store._writer.run_outside(
            lambda conn: conn.connection.cursor().execute("PRAGMA query_only = ON") and None
        )
        with pytest.raises(StoreError, match="cannot be written"):
            await store.ping()
        await store.ping()  # on a new connection
        await store.close()

    async def test_the_history_cannot_be_rewritten(self, path):
        await make(path, new_mail("M1"))
        with sqlite3.connect(path) as conn, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            conn.execute("UPDATE history SET event = 'delivered'")
        conn.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM sequences",
        "UPDATE sequences SET next = 'garbage'",
        "UPDATE sequences SET next = -5",
        "UPDATE sequences SET next = 2.5",
        "UPDATE sequences SET next = 9223372036854775807",
        "UPDATE sequences SET next = next - 1",
    ],
)
async def test_a_damaged_sequence_stops_no_message_and_repeats_no_id(path, damage):
    """The ids go on above all that time allows to have been drawn, and no phone gets one twice."""
    await make(path, *(new_mail(f"M{n}") for n in range(3)))
    store = at(path)
    await store.open()
    (first,) = await claim(store, limit=1)
    await store.close()
    with sqlite3.connect(path) as conn:
        conn.execute(damage)
    conn.close()
    store = at(path)
    await store.open()
    ids = [first.gateway_id] + [(await claim(store, limit=1))[0].gateway_id for _ in range(2)]
    await store.close()
    assert len(set(ids)) == 3
    assert all(1 <= int(id_) <= 2_147_483_647 for id_ in ids)


async def test_a_queue_of_the_first_version_is_brought_up_to_date(path):
    """What it holds is there afterwards."""
    await make(path, new_mail("M1"))
    with sqlite3.connect(path) as conn:
        conn.executescript(BACK_TO_THE_FIRST)
    conn.close()
    store = at(path)
    await store.open()
    assert (await one(store, "M1.1")).mail_id == "M1"
    await store.close()
    with sqlite3.connect(path) as conn:
        assert conn.execute("SELECT version_num FROM alembic_version").fetchone() == (SCHEMA_REVISION,)
    conn.close()


async def test_a_queue_made_at_once_equals_a_migrated_one(path, tmp_path):
    """The tables of the migrations are those of ``tables.py``."""
    from mailbridge.queue.migrate import is_known, upgrade

    await make(path)
    other = tmp_path / "migrated.db"
    sqlite3.connect(other).execute("VACUUM").connection.close()
    with SqliteFile(other, exclusive=False).writing_engine().connect() as conn, conn.begin():
        upgrade(conn)

    def shape(file):
        conn = sqlite3.connect(file)
        rows = {(kind, name, "".join(sql.split())) for kind, name, sql in conn.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
        )}  # fmt: skip
        first = [conn.execute(f"SELECT * FROM {name}").fetchall() for name in ("sequences", "meta", "alembic_version")]
        conn.close()
        return rows, first

    assert shape(other) == shape(path)
    assert is_known(SCHEMA_REVISION)
    assert not is_known("9999")


class TestDamageAfterTheCheck:
    """SQLite speaks of damage where a disk gave wrong bytes once; only the check reads the whole file."""

    async def test_it_ends_the_daemon_as_a_disk_does_that_may_work_again(self, path):
        await make(path, *(new_mail(f"M{number}") for number in range(200)))
        config = Config(queue=Queue(url=f"sqlite:///{path}"))

        async def spoilt_at_work():
            async with opened_store(config, exclusive=True) as store:
                path.write_bytes(path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096))
                await store.recover(node="node", now=NOW)

        with pytest.raises(StoreError) as caught:
            await spoilt_at_work()
        assert type(caught.value) is StoreError
        assert "the next start looks again" in str(caught.value)
        # it is the check of the next start that finds it true, and sets the file aside
        assert "set aside as queue.db.damaged-1" in await refused(path)

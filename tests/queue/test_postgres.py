"""A queue in PostgreSQL: making, refusing, sharing, and a server or a line that goes away."""

import asyncio
import os
import signal
import socket

import pytest

from mailbridge.errors import StoreDamaged, StoreError
from mailbridge.model.state import State
from mailbridge.queue import postgres_listener
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter
from mailbridge.queue.statements import questions
from tests.support.postgresql import OWNER, QUEUES, SAFE, queue_url, running_postgresql
from tests.support.postgresql_proxy import Cut, postgresql_proxy
from tests.support.queue import BACK_TO_THE_FIRST, change, claim, new_mail, new_message, one

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
pytestmark = pytest.mark.slow


@pytest.fixture
async def opened():
    """Return what opens stores, which are closed at the end."""
    stores = []

    async def open_(url, **fields):
        store = open_store(url, **({"exclusive": True} | fields))
        stores.append(store)
        await store.open()
        return store

    yield open_
    for store in stores:
        await store.close()


@pytest.fixture
async def person(url):
    """Return a connection beside the store's."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def url(queue_url):
    """Return the URL of an empty queue."""
    return queue_url


async def refused(url):
    """Open *url*, which fails, and return the error."""
    store = open_store(url, exclusive=True)
    with pytest.raises(StoreError) as caught:
        await store.open()
    await store.close()
    return caught.value


class TestOpening:
    async def test_what_was_put_is_there_after_reopening(self, opened, url):
        """A queue is kept by the server, not by the process."""
        first = await opened(url)
        await first.put(new_mail("M1"))
        await first.close()
        assert (await one(await opened(url), "M1.1")).mail_id == "M1"

    async def test_several_nodes_start_at_once_on_an_empty_database(self, opened, url):
        """One makes the tables, the others wait for it."""
        stores = await asyncio.gather(*(opened(url) for _ in range(5)))
        await asyncio.gather(*(store.put(new_mail(f"M{n}")) for n, store in enumerate(stores)))
        assert (await stores[0].count_states())[State.QUEUED] == 5

    async def test_several_nodes_start_at_once_on_an_older_queue(self, opened, url, person):
        """One migrates it, and no mail is lost."""
        store = await opened(url)
        await store.put(new_mail("M1"))
        await store.close()
        await person.execute(BACK_TO_THE_FIRST)
        stores = await asyncio.gather(*(opened(url) for _ in range(3)))
        assert (await stores[2].count_states())[State.QUEUED] == 1
        assert await value(person, "SELECT version_num FROM alembic_version") != "0001"

    async def test_a_queue_made_at_once_equals_a_migrated_one(self, opened, postgresql):
        """The tables of the migrations are those of ``tables.py``."""
        from sqlalchemy import NullPool, create_engine

        from mailbridge.queue.migrate import upgrade

        made, migrated = postgresql.create_queue("made"), postgresql.create_queue("migrated")
        await opened(made)
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(migrated), poolclass=NullPool)
        with engine.connect() as conn, conn.begin():
            upgrade(conn)
        shapes = []
        for name in ("made", "migrated"):
            columns = postgresql.sql(
                QUEUES,
                f"""
                SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
                WHERE table_schema = '{name}' ORDER BY 1, 2;
                SELECT indexdef FROM pg_indexes WHERE schemaname = '{name}' AND tablename != 'alembic_version'
                ORDER BY 1;
                SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = '{name}'::regnamespace ORDER BY 1, 2;
                SELECT tgname FROM pg_trigger WHERE tgrelid = '{name}.history'::regclass AND NOT tgisinternal;
                SELECT * FROM {name}.sequences; SELECT * FROM {name}.alembic_version;
            """,
            )
            shapes.append(columns.replace(f"{name}.", ""))
        assert shapes[0] == shapes[1]

    @pytest.mark.parametrize(
        ("question", "index"),
        [("expired_rows", "messages_expiry"), ("warnable_rows", "messages_warnable")],
    )
    async def test_the_indexes_of_what_is_open_serve_their_questions(self, opened, url, person, question, index):
        """Their condition is a list here, and the question's is not; one follows from the other."""
        from sqlalchemy.dialects.postgresql import psycopg as dialect

        await opened(url)
        compiled = getattr(questions, question).compile(dialect=dialect.dialect())
        await person.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        asked = {name: 1 if value is None else value for name, value in compiled.params.items()}
        steps = [step for (step,) in await (await person.execute(f"EXPLAIN {compiled}", asked)).fetchall()]
        assert any(index in step for step in steps), steps

    async def test_the_history_cannot_be_rewritten(self, opened, url, person):
        """Not even by hand."""
        await (await opened(url)).put(new_mail("M1"))
        with pytest.raises(psycopg.Error, match="append-only"):
            await person.execute("UPDATE history SET event = 'delivered'")

    async def test_a_database_set_to_lose_commits_is_told_to_keep_ours(self, opened, url, person):
        """Whoever sets ``synchronous_commit`` off for a database does not set it off for a queue in it."""
        await person.execute(f"ALTER ROLE {OWNER} SET synchronous_commit = off")
        try:
            store = await opened(url)
            asked = store._writer.run(lambda conn: conn.exec_driver_sql("SHOW synchronous_commit").scalar_one())
            assert await asked == "on"
        finally:
            await person.execute(f"ALTER ROLE {OWNER} RESET synchronous_commit")

    async def test_readers_cannot_write(self, opened, url):
        """What looks at the queue has no way to change it."""
        store = await opened(url)
        with pytest.raises(StoreError):
            await store._reader.run(lambda conn: conn.exec_driver_sql("UPDATE meta SET value = 'x'"))


class TestRefusing:
    async def test_tables_of_somebody_else(self, url, person):
        """Whatever they are, they are left as they are."""
        await person.execute("CREATE TABLE messages (song text)")
        error = await refused(url)
        assert isinstance(error, StoreDamaged)
        assert "database of its own" in str(error)

    async def test_a_newer_version(self, opened, url, person):
        """A node of a version that does not work with its tables does not start beside it."""
        await (await opened(url)).close()
        await person.execute("UPDATE alembic_version SET version_num = '9999'")
        await person.execute("UPDATE meta SET value = '9999' WHERE name = 'works_with'")
        assert "newer mailbridge (revision 9999)" in str(await refused(url))

    async def test_a_server_that_is_not_there(self):
        """Libpq's words are told, the password is not."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            error = await refused(f"postgresql://u:s3cret@127.0.0.1:{taken.getsockname()[1]}/db")
        assert "cannot be reached" in str(error)
        assert "refused" in str(error)
        assert "s3cret" not in str(error)

    @pytest.mark.parametrize("broken", ["postgresql://u:s3cret@h:port/db", "postgresql://u:s3cret@[h/db"])
    async def test_a_url_that_libpq_cannot_read(self, broken):
        """It is never repeated."""
        assert "s3cret" not in str(await refused(broken))

    async def test_a_database_that_is_not_in_utf8(self, postgresql):
        """It could not hold what mails say."""
        postgresql.create("ascii", options=("--encoding=SQL_ASCII", "--locale=C"))
        assert "UTF8" in str(await refused(f"postgresql://{OWNER}@/ascii?host={postgresql.folder}"))

    async def test_a_server_that_does_not_sync(self):
        """With ``fsync`` off a power cut would take what was answered with 250."""
        with running_postgresql() as server:
            assert "fsync is off" in str(await refused(server.create_queue("loose")))


class TestSharing:
    async def test_a_message_is_claimed_by_one_node(self, opened, url):
        """Nodes that claim at the same moment share what is due."""
        stores = [await opened(url) for _ in range(3)]
        for n in range(60):
            await stores[0].put(new_mail(f"M{n}"))
        claims = await asyncio.gather(*(claim(store, limit=10) for store in stores * 4))
        claimed = [row.id for requests in claims for request in requests for row in request.messages]
        ids = [request.gateway_id for requests in claims for request in requests]
        assert len(claimed) == len(set(claimed)) == 60
        assert len(ids) == len(set(ids)) == 60

    async def test_the_same_mail_at_two_nodes_is_kept_once(self, opened, url):
        """The later one finds the other's key in the middle of its own commit, and looks again."""
        stores = [await opened(url) for _ in range(3)]
        for n in range(20):
            mails = [new_mail(f"M{n}x{k}", new_message(f"M{n}x{k}.1", key=f"key{n}")) for k in range(3)]
            results = await asyncio.gather(*(store.put(mail) for store, mail in zip(stores, mails, strict=True)))
            assert sorted(len(result.duplicates) for result in results) == [0, 1, 1]
        assert len(await stores[0].find(Filter(limit=99))) == 20

    async def test_the_late_result_of_another_attempt_changes_nothing(self, opened, url):
        """What one node took over as unknown, the other's answer does not touch."""
        first, second = await opened(url), await opened(url)
        await first.put(new_mail("M1"))
        ((row,),) = [request.messages for request in await claim(first)]
        await second.recover(node="n1", now=row.updated_at)
        late = change("M1.1", State.SENDING, State.SENT, attempt=row.attempts)
        assert await first.apply([late]) == [False]
        assert (await one(second, "M1.1")).state is State.UNKNOWN

    async def test_another_node_hears_of_a_mail(self, opened, url):
        """It is woken with the commit; its own mails wake nobody."""
        first, second = await opened(url), await opened(url)
        woken = asyncio.Event()
        second.on_news(woken.set)
        await second.put(new_mail("M1"))
        await second.ping()
        await first.put(new_mail("M0", taken_by="n1"))
        assert not woken.is_set()
        assert await second.changed_outside() is False
        await first.put(new_mail("M2"))
        await asyncio.wait_for(woken.wait(), 10)
        assert await second.changed_outside() is True
        assert await second.changed_outside() is False

    async def test_a_deadlock_costs_another_try(self, opened, url, person):
        """The server ends one of two transactions that wait for each other; ours runs again."""
        store = await opened(url)
        await store.put(new_mail("M1"))
        await store.put(new_mail("M2"))
        async with person.transaction():
            # the other waits long enough for the server to choose ours
            await person.execute("SET LOCAL deadlock_timeout = '30s'")
            await person.execute("SELECT 1 FROM messages WHERE id = 'M2.1' FOR UPDATE")
            changes = [change(id_, State.QUEUED, State.HELD) for id_ in ("M1.1", "M2.1")]
            applying = asyncio.create_task(store.apply(changes))
            await waiting(url)
            await person.execute("SELECT 1 FROM messages WHERE id = 'M1.1' FOR UPDATE")
        assert await applying == [True, True]

    async def test_rows_that_somebody_holds_cost_a_temporary_error(self, opened, url, person):
        """Nobody is waited for without end."""
        store = await opened(url)
        await store.put(new_mail("M1"))
        async with person.transaction():
            await person.execute("SELECT 1 FROM messages FOR UPDATE")
            with pytest.raises(StoreError, match="locked"):
                await store.apply([change("M1.1", State.QUEUED, State.HELD)])
        assert await store.apply([change("M1.1", State.QUEUED, State.HELD)]) == [True]


class TestTrouble:
    async def test_connections_cut_while_nobody_asks_are_not_noticed(self, opened, url, person):
        """The next call opens a new one, for reading and for writing."""
        store = await opened(url)
        await store.put(new_mail("M1"))
        assert (await one(store, "M1.1")).id == "M1.1"
        await person.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'mailbridge' AND pid != pg_backend_pid()"
        )
        await store.put(new_mail("M2"))
        assert (await one(store, "M2.1")).id == "M2.1"

    async def test_a_server_that_stops_is_a_store_error_until_it_is_back(self, opened):
        """It heals by itself, and what was kept is there."""
        with running_postgresql(SAFE) as server:
            store = await opened(server.create_queue("restarted"))
            await store.put(new_mail("M1"))
            server.stop()
            for _ in range(2):
                with pytest.raises(StoreError, match="cannot be reached"):
                    await store.put(new_mail("M2"))
            assert await store.changed_outside() is True
            server.start()
            await store.put(new_mail("M3"))
            assert sorted((await store.count_states()).items()) == [(State.QUEUED, 2)]
            await store.close()

    @pytest.mark.parametrize("kind", list(Cut))
    async def test_a_commit_whose_answer_was_lost_is_looked_up(self, opened, postgresql, url, kind):
        """If it was committed its caller hears so; if not, the caller hears of trouble and nothing is there."""
        await (await opened(url)).close()
        async with postgresql_proxy(postgresql.folder) as proxy:
            store = await opened(through(proxy, url))
            await store.ping()
            proxy.cut = kind
            if kind is Cut.AFTER_COMMIT:
                await store.put(new_mail("M1"))
            else:
                with pytest.raises(StoreError):
                    await store.put(new_mail("M1"))
            assert proxy.cuts == 1
            assert len(await store.get_messages("M1")) == (kind is Cut.AFTER_COMMIT)
            await store.put(new_mail("M2"))
            await store.close()

    async def test_a_first_commit_that_is_still_at_it_is_waited_for(self, opened, url, person):
        """A look for its mark must not find nothing because the server is not done yet."""
        store = await opened(url)
        marks = store._database.fate
        async with person.transaction():
            await person.execute("INSERT INTO writers VALUES (%s, 1, 0)", (marks._name,))
            looking = asyncio.create_task(store._pulse.run(lambda conn: marks.is_committed(conn, "1")))
            await waiting(url)
        assert await looking is True

    async def test_a_claim_whose_answer_was_lost_is_known_all_the_same(self, opened, postgresql, url):
        """It is neither made a second time nor forgotten."""
        await (await opened(url)).put(new_mail("M1"))
        async with postgresql_proxy(postgresql.folder) as proxy:
            store = await opened(through(proxy, url))
            await store.ping()
            proxy.cut = Cut.AFTER_COMMIT
            (request,) = await claim(store)
            assert [row.id for row in request.messages] == ["M1.1"]
            assert (await one(store, "M1.1")).attempts == 1
            await store.close()

    async def test_a_server_that_is_silent_costs_a_temporary_error(self, opened, url, person):
        """Clients hear of it in time, and what had not begun is not done behind their backs."""
        store = await opened(url)
        await store.ping()
        pid = await store._writer.run(lambda conn: conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        store._writer.patience_s = 0.5
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = asyncio.create_task(store.put(new_mail("M1")))
            await asyncio.sleep(0)
            results = await asyncio.gather(begun, store.put(new_mail("M2")), return_exceptions=True)
            assert [str(error) for error in results] == ["the database does not answer"] * 2
        finally:
            os.kill(pid, signal.SIGCONT)
        store._writer.patience_s = 15
        await store.put(new_mail("M3"))
        assert [len(await store.get_messages(f"M{n}")) for n in (1, 2, 3)] == [1, 0, 1]

    async def test_a_server_that_is_silent_does_not_keep_a_bridge_from_stopping(self, opened, url):
        """What was under way is cut off then."""
        store = await opened(url)
        await store.ping()
        pid = await store._writer.run(lambda conn: conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        store._writer.patience_s = 0.5
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreError):
                await store.put(new_mail("M1"))
            await asyncio.wait_for(store.close(), 30)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def test_a_listener_whose_server_stands_still_does_not_stay_deaf(self, opened, url, person, monkeypatch):
        """It asks now and then whether anybody is there, and goes elsewhere; meanwhile anything may have happened."""
        monkeypatch.setattr(postgres_listener, "_LOOK_S", 0.1)
        monkeypatch.setattr(postgres_listener, "_SILENT_S", 0.5)
        first, second = await opened(url), await opened(url, exclusive=False)
        assert await first.changed_outside() is False
        asked = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND query IN ('SELECT 1', %s)"
        listening = 'LISTEN "mailbridge"'
        (pid,) = await (await person.execute(asked, (listening,))).fetchone()
        os.kill(pid, signal.SIGSTOP)
        try:
            while not await first.changed_outside():
                await asyncio.sleep(0.05)
            while await first.changed_outside():
                await asyncio.sleep(0.05)
            woken = asyncio.Event()
            first.on_news(woken.set)
            await second.put(new_mail("M1"))
            await asyncio.wait_for(woken.wait(), 10)
        finally:
            os.kill(pid, signal.SIGCONT)

    @pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"])
    async def test_nothing_of_ours_waits_without_end(self, opened, url, setting):
        """Each connection has its limits."""
        store = await opened(url)
        assert await store._writer.run(lambda conn: conn.exec_driver_sql(f"SHOW {setting}").scalar_one()) != "0"


def through(proxy, url):
    """Return *url* through *proxy*."""
    return queue_url(proxy.folder, url.rpartition("%3D")[2])


async def value(conn, statement):
    """Return the one value of *statement*."""
    return (await (await conn.execute(statement)).fetchone())[0]


async def waiting(url):
    """Wait until some connection waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        while not await value(conn, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)

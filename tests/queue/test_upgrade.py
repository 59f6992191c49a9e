"""Nodes of two versions on one PostgreSQL: what was migrated for the newer one serves the older one, too."""

from datetime import timedelta
from itertools import pairwise

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from mailbridge.model.state import State
from mailbridge.queue import migrate
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter, GatewayState, OutgoingMail
from mailbridge.queue.tables import SCHEMA_REVISION, metadata
from tests.support.postgresql import QUEUES
from tests.support.queue import NOW, SECOND, change, claim, failed, new_mail, one

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
pytestmark = pytest.mark.slow

#: what a later migration may do: add columns that may be left out, tables, indexes
_LATER = "".join(
    f"ALTER TABLE {table.name} ADD COLUMN later text, ADD COLUMN later_number bigint NOT NULL DEFAULT 7;"
    for table in metadata.tables.values()
)
_LATER += (
    "CREATE TABLE later (name text PRIMARY KEY); CREATE INDEX messages_later ON messages (later);"
    "UPDATE alembic_version SET version_num = '9999';"
)
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'mailbridge' AND pid != pg_backend_pid()"
)
_COLUMNS = """
    SELECT c.table_name || '.' || c.column_name, c.data_type || ' ' || c.is_nullable,
           c.is_nullable = 'YES' OR c.column_default IS NOT NULL OR c.is_identity = 'YES'
    FROM information_schema.columns c WHERE c.table_schema = '{name}'
"""
_RULES = """
    SELECT conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = '{name}'::regnamespace
    UNION ALL SELECT tablename || ' ' || indexdef FROM pg_indexes
    WHERE schemaname = '{name}' AND indexdef LIKE 'CREATE UNIQUE%'
"""


def revisions():
    """Return the revisions, oldest first."""
    return [script.revision for script in ScriptDirectory(str(migrate._FOLDER)).walk_revisions()][::-1]


async def live(store):
    """Do what a node does, and return what the message became."""
    await store.put(new_mail("M1"))
    await store.cluster.beat(node="n1", now=NOW, lease_s=20.0, take_over=True)
    ((row,),) = [request.messages for request in await claim(store)]
    assert await store.apply([failed("M1.1", attempt=row.attempts)]) == [True]
    (due,) = await store.due_reports(now=NOW + 60 * SECOND, limit=9)
    report = OutgoingMail(
        id=0, mail_id="M1", sender="", recipient="a@example.org", content=b"x", attempts=0, created_at=NOW,
        next_attempt_at=NOW,
    )  # fmt: skip
    await store.put_outgoing(report, items={item.item_id: {} for item in due.items}, now=NOW)
    (mail,) = await store.due_outgoing(now=NOW, limit=9)
    await store.settle_outgoing(mail.id, done=True, next_attempt_at=None, error="")
    await store.put(new_mail("M2"))
    await claim(store)
    assert await store.recover(node="n1", now=NOW) == 1
    await store.clock_set_back(now=NOW - timedelta(days=1))
    assert await store.apply([change("M2.1", State.UNKNOWN, State.HELD)]) == [True]
    await store.save_gateway_state(GatewayState(name="main", code="2", suspended=True))
    assert (await store.gateway_states())["main"].suspended
    assert await store.prune(before=NOW + SECOND, sent_before=NOW, limit=9) == 1
    await store.ping()
    await store.cluster.leave(node="n1", now=NOW)
    return (await one(store, "M2.1")).state, len(await store.find(Filter())), len(await store.history("M2.1"))


async def test_a_node_works_on_the_tables_of_the_next_version(queue_url, postgresql):
    """While it runs, when it connects anew, and when it starts again before it is brought up to date."""
    store = open_store(queue_url, exclusive=True)
    await store.open()
    schema = queue_url.rpartition("%3D")[2]
    postgresql.sql(QUEUES, f"SET search_path = {schema}; {_LATER}")
    postgresql.sql(QUEUES, _CUT)
    assert await live(store) == (State.HELD, 1, 4)
    await store.close()
    again = open_store(queue_url, exclusive=True)
    await again.open()
    assert (await one(again, "M2.1")).state is State.HELD
    await again.close()


def test_migrations_for_running_nodes_only_add(postgresql):
    """From each revision that still works with the newest to the next: nothing goes, nothing is asked for in addition.

    New columns may be left out, and no new rule binds what was there.
    """
    schema = "revisions"
    url = postgresql.create_queue(schema)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(migrate._FOLDER))
    shapes = []
    for revision in revisions():
        with engine.connect() as conn, conn.begin():
            config.attributes["connection"] = conn
            command.upgrade(config, revision)
        with psycopg.connect(url) as conn:
            columns = {name: (kind, free) for name, kind, free in conn.execute(_COLUMNS.format(name=schema)).fetchall()}
            rules = {rule for (rule,) in conn.execute(_RULES.format(name=schema)).fetchall()}
            oldest = conn.execute("SELECT value FROM meta WHERE name = 'works_with'").fetchone()
        shapes.append((revision, columns, rules))
    assert oldest is not None
    assert revisions()[-1] == SCHEMA_REVISION
    kept = [shape for shape in shapes if shape[0] >= oldest[0]]
    assert len(kept) > 1
    for (_, columns, rules), (revision, next_columns, next_rules) in pairwise(kept):
        assert {name: next_columns.get(name) for name in columns} == columns, revision
        tables = {name.partition(".")[0] for name in columns}
        old_tables_added = {n: c for n, c in next_columns.items() if n not in columns and n.partition(".")[0] in tables}
        assert all(free for _, free in old_tables_added.values()), revision
        assert not {rule for rule in next_rules - rules if rule.partition(" ")[0].rpartition(".")[2] in tables}, (
            revision
        )

"""One UPDATE for many rows: each row gets its own values, whatever their number."""

import sqlite3

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, bindparam, create_engine, insert, select, update
from sqlalchemy.dialects import sqlite as dialect

from mailbridge.queue.statements import bulk, changes, claims
from mailbridge.queue.statements.bulk import Bulk, for_many

things = Table("things", MetaData(), Column("id", Text, primary_key=True), Column("a", Integer), Column("b", Text))
COUNTS = [1, 2, 3, 4, 5, 63, 64, 65, 700]


@pytest.fixture
def conn():
    """A connection to a database of 1000 things."""
    engine = create_engine("sqlite://")
    things.metadata.create_all(engine)
    with engine.connect() as conn:
        conn.execute(insert(things), [{"id": f"t{n}", "a": -n, "b": "as it was"} for n in range(1000)])
        yield conn
    engine.dispose()


@pytest.mark.parametrize("is_new_enough", [True, False])
@pytest.mark.parametrize("count", COUNTS)
def test_each_row_gets_its_own_values(conn, monkeypatch, count, is_new_enough):
    """On an SQLite without UPDATE FROM, too; rows that are not named stay as they were, absent ones are no error."""
    monkeypatch.setattr(bulk, "_KNOWS_UPDATE_FROM", is_new_enough)
    write = Bulk(update(things).where(things.c.id == bindparam("row_id")))
    rows = [{"row_id": f"t{n}", "b": None if n % 7 == 0 else f"b{n}", "a": n * n} for n in range(count)]
    for _ in range(2):
        write.run(conn, [*rows, {"row_id": "absent", "b": "x", "a": 1}])
    expected = {f"t{n}": (-n, "as it was") for n in range(1000)}
    expected |= {row["row_id"]: (row["a"], row["b"]) for row in rows}
    assert {row.id: (row.a, row.b) for row in conn.execute(select(things))} == expected


@pytest.mark.skipif(not bulk._KNOWS_UPDATE_FROM, reason="this SQLite has no UPDATE FROM")
@pytest.mark.parametrize("write", [claims._write_row, changes._write_row])
@pytest.mark.parametrize("room", [2, 64])
async def test_the_rows_are_found_by_their_ids(sqlite, tmp_path, write, room):
    """The engine goes through what it is given, not through the table."""
    compiled = write._statement.compile(dialect=dialect.dialect(), column_keys=["state", "asked", "row_id"])
    sql = for_many(str(compiled), 3, room)
    conn = sqlite3.connect(tmp_path / "queue.db")
    steps = [row[3] for row in conn.execute("EXPLAIN QUERY PLAN " + sql, (*[None] * 3 * room, room))]
    conn.close()
    assert any(step.startswith("SEARCH messages USING") and "(id=?)" in step for step in steps), steps
    assert not any(step.startswith("SCAN messages") for step in steps), steps

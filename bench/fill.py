"""A queue with a long past, or with a great many messages that wait: made in a minute, as the bridge writes it.

    python -m bench.fill FILE waiting|due|finished COUNT

The bridge's own store makes the file and takes one message the whole way; SQL of ours then multiplies its rows. What
differs from copy to copy (ids, phones, moments) is replaced by name, so a column that is new comes along by itself.
Needs a file that is not served.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench import load
from mailbridge.model.ids import message_id, new_mail_id
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.phone import Phone
from mailbridge.model.state import State
from mailbridge.queue.contract import Assignment, Change, DedupeKey, NewMail, NewMessage
from mailbridge.queue.sqlite import SqliteStore

#: kind -> over which time the messages came in. Those that wait are too young to be warned about
SPREAD = {"waiting": timedelta(hours=1), "due": timedelta(hours=1), "finished": timedelta(days=60)}
#: when those that wait are due
_LATER = timedelta(hours=8)
_LIFETIME = timedelta(hours=24)
_GATEWAY = "main"
#: coprime to the number of chances in a mail id, so that no two copies share one
_STEP = 7_919_000_017
_TEXT = "PROBLEM: db1/disk is CRITICAL since 10:42, 97 % of /var used, see https://icinga.example.org/db1"

#: what a copy has instead of the template's value, by table and column; moments are moved and stand not here
_OWN = {
    ("mails", "id"): "c.mail",
    ("mails", "message_id"): "'<' || c.n || '@bench.example.org>'",
    ("messages", "id"): "c.message",
    ("messages", "mail_id"): "c.mail",
    ("messages", "phone"): "'+' || c.phone",
    ("messages", "recipient"): "c.phone || '@sms.local'",
    ("messages", "gateway_id"): "c.number",
    ("history", "message_id"): "c.message",
    ("attempts", "message_id"): "c.message",
    ("attempts", "phone"): "c.phone",
    ("attempts", "gateway_id"): "c.number",
    ("dedupe", "key"): "lower(hex(randomblob(16)))",
    ("dedupe", "message_id"): "c.message",
}
_TABLES = ("mails", "messages", "history", "attempts", "dedupe")


def fill(path: Path, kind: str, count: int) -> None:
    """Make the queue at *path*, which must not exist, with *count* messages of *kind*."""
    now = datetime.now(UTC)
    asyncio.run(_take_one(path, kind, now))
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
            conn.execute(f"PRAGMA {pragma}")
        _number(conn, kind, count, now)
        indexes = conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql <> ''").fetchall()
        conn.execute("BEGIN")
        for name, _ in indexes:
            conn.execute(f"DROP INDEX {name}")
        for table in _TABLES:
            _multiply(conn, table)
        # sorted once, which is far cheaper than row by row
        for _, statement in indexes:
            conn.execute(statement)
        conn.execute("COMMIT")
        conn.execute("PRAGMA journal_mode = WAL")
    with path.open("rb") as file:
        os.fsync(file.fileno())


def entries_each(path: Path) -> int:
    """Return how many entries of the history a message of the queue at *path* has."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        newest = "SELECT message_id FROM history ORDER BY n LIMIT 1"
        return conn.execute(f"SELECT count(*) FROM history WHERE message_id = ({newest})").fetchone()[0]


# ------------------------------------------------------------------------------------------- the template
async def _take_one(path: Path, kind: str, now: datetime) -> None:
    """Let the bridge's own store take one message as far as *kind* is."""
    store = SqliteStore(path, exclusive=True)
    await store.open()
    try:
        mail = _mail(now, due_at=now + (_LATER if kind == "waiting" else timedelta()))
        await store.put(mail)
        if kind == "finished":
            await _finish(store, mail.messages[0].id, now)
    finally:
        await store.close()


def _mail(now: datetime, *, due_at: datetime) -> NewMail:
    id_ = new_mail_id(now.timestamp())
    phone, original = load.phone(0), load.mail(0)
    message = Message(phone=Phone(f"+{phone}"), channel="sms", sender="", text=_TEXT, alphabet=Alphabet.GSM7, parts=1)
    new = NewMessage(
        id=message_id(id_, 1), message=message, recipient=f"{phone}@sms.local", next_attempt_at=due_at,
        expires_at=now + _LIFETIME, detail={"notes": []},
        dedupe=(DedupeKey(key="0" * 32, until=now + timedelta(days=1)),),
    )  # fmt: skip
    return NewMail(
        id=id_, received_at=now, sender="nagios@example.org", client="127.0.0.1", user=None,
        message_id="<0@bench.example.org>", subject="PROBLEM host db is DOWN", envid=None, ret=None, reportable=True,
        original=original, size_bytes=len(original), messages=(new,),
    )  # fmt: skip


async def _finish(store: SqliteStore, id_: str, now: datetime) -> None:
    await store.claim(
        now=now, limit=1, node="bench", gateways=frozenset({_GATEWAY}),
        plan=lambda _rows, next_id: [Assignment(gateway=_GATEWAY, gateway_id=str(next_id()), message_ids=(id_,))],
    )  # fmt: skip
    for before, state, seconds in ((State.SENDING, State.SENT, 1), (State.SENT, State.DELIVERED, 9)):
        change = Change(
            message_id=id_, expect=frozenset({before}), to=state, at=now + timedelta(seconds=seconds),
            event=state.value, detail={"gateway": _GATEWAY, "gateway_id": "1", "parts": 1}, parts=1,
        )  # fmt: skip
        assert await store.apply([change]) == [True]


# ------------------------------------------------------------------------------------------- its copies
def _number(conn: sqlite3.Connection, kind: str, count: int, now: datetime) -> None:
    """Write down for each copy: ids, phone, and by how many microseconds it is older than the template."""
    conn.execute(
        "CREATE TEMP TABLE copies"
        " (n INTEGER PRIMARY KEY, mail TEXT, message TEXT, phone TEXT, number TEXT, earlier INTEGER)"
    )
    conn.execute("BEGIN")
    conn.executemany("INSERT INTO copies VALUES (?, ?, ?, ?, ?, ?)", _copies(kind, count, now))
    conn.execute("COMMIT")


def _copies(kind: str, count: int, now: datetime) -> Iterator[tuple[int, str, str, str, str, int]]:
    spread_us = SPREAD[kind] // timedelta(microseconds=1)
    now_s = now.timestamp()
    first_number, chance = int(now_s * 1000), random.Random(1)
    # oldest first, as they came; one less, for the template is the newest
    for n in range(1, count):
        earlier_us = spread_us * (count - n) // count
        mail = new_mail_id(now_s - earlier_us / 1e6, random_bits=lambda _, n=n: n * _STEP)
        phone = load.phone(chance.randrange(10_000_000))
        yield n, mail, message_id(mail, 1), phone, str(first_number - count + n), earlier_us


def _multiply(conn: sqlite3.Connection, table: str) -> None:
    columns = [name for _, name, kind, _, _, is_key in conn.execute(f"PRAGMA table_info({table})")
               if not (is_key and kind == "INTEGER")]  # fmt: skip
    values = ", ".join(_value(table, column) for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    template = conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    conn.execute(f"CREATE TEMP TABLE template_{table} AS SELECT {names} FROM {table}")
    # several rows of one message (its history) follow one another
    for row in range(1, template + 1):
        conn.execute(
            f"INSERT INTO {table} ({names}) SELECT {values} FROM copies AS c, template_{table} AS t"
            f" WHERE t.rowid = {row} ORDER BY c.n"
        )


def _value(table: str, column: str) -> str:
    if (table, column) in _OWN:
        own = _OWN[table, column]
        return own if column != "gateway_id" else f"CASE WHEN t.gateway_id IS NULL THEN NULL ELSE {own} END"
    moments = column.endswith("_at") or column in {"at", "until"}
    # what is due later is due at one time for all
    if moments and column != "next_attempt_at":
        return f't."{column}" - c.earlier'
    return f't."{column}"'


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("kind", choices=sorted(SPREAD))
    parser.add_argument("count", type=int)
    options = parser.parse_args(words)
    start = time.monotonic()
    fill(options.file, options.kind, options.count)
    size_mb = options.file.stat().st_size / 1e6
    print(f"{options.count} messages, {size_mb:.0f} MB, in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()

"""What a mail costs, counted in work and not in time: a machine may be slow, the numbers stay the same.

Transactions, statements, rows, gateway requests, parsed mails and header fields. Each bound stands a little above what
is needed today, higher where it depends on what meets: a change that needs more is slower on every machine, and one that
needs less should lower its bound. How often the log is written to stands in ``test_log_writes.py``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailbridge.intake import mime, parse
from mailbridge.model.state import State
from mailbridge.queue.sqlite import SqliteStore
from mailbridge.queue.tables import metadata
from tests.support.clock import START
from tests.support.house import House, running_house
from tests.support.programs import until
from tests.support.queue import new_mail, new_message

MAILS = 60
BATCH = 200
#: the header fields of a test mail
FIELDS = 5
#: below are the simulator's magic numbers
FIRST = 5000
#: of one message that was sent: its mail, itself, its attempt, its key, and in the history queued, attempt, sent
ROWS = {"mails": 1, "messages": 1, "attempts": 1, "dedupe": 1, "history": 3}


@dataclass(frozen=True)
class Work:
    """What it took."""

    #: transactions of the writer; one that wrote nothing costs no fsync and is counted all the same
    commits: int
    #: SQL statements, a batch counting as one
    statements: int
    #: to the gateway
    requests: int


@dataclass
class Counted:
    """A running bridge and the counters around it."""

    house: House
    store: SqliteStore
    path: Path

    async def work_of(self, doing: Awaitable[object], *, until_all: State = State.SENT) -> Work:
        """Return what *doing* took until all messages are in that state."""
        await self.house.quiet()
        before = self._work()
        await doing
        # asked past the store, whose statements are counted
        others = f"SELECT count(*) FROM messages WHERE state <> '{until_all}'"
        with closing(sqlite3.connect(self.path)) as conn:
            await until(lambda: conn.execute(others).fetchone() == (0,))
        await self.house.quiet()
        after = self._work()
        return Work(
            commits=after.commits - before.commits,
            statements=after.statements - before.statements,
            requests=after.requests - before.requests,
        )

    def rows(self) -> dict[str, int]:
        """Return the number of rows of the tables that grow with each message."""
        with closing(sqlite3.connect(self.path)) as conn:
            return {table: conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ROWS}

    def _work(self) -> Work:
        return Work(
            self.store.commits, self.store.statements, len(self.house.requests()) + len(self.house.requests("status"))
        )


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[Counted]:
    """A bridge on a queue in a file, as the daemon has it, and a gateway that answers at once."""
    path = tmp_path / "queue.db"
    store = SqliteStore(path, exclusive=True)
    async with running_house(store=store) as house:
        yield Counted(house, store, path)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many mails were taken apart, and how many header fields were decoded."""
    counts: Counter[str] = Counter()

    def counting(name: str, original):
        def count(*args):
            counts[name] += 1
            return original(*args)

        return count

    monkeypatch.setattr(mime, "parse_structure", counting("mails", mime.parse_structure))
    monkeypatch.setattr(parse, "decode_value", counting("fields", parse.decode_value))
    return counts


def content(address: str, number: int) -> str:
    """Return a mail of FIELDS header fields."""
    return (
        f"From: nagios@example.org\r\nTo: {address}\r\nSubject: PROBLEM {number}\r\n"
        f"Message-ID: <{number}@example.org>\r\nContent-Type: text/plain\r\n\r\ndb1 is DOWN\r\n.\r\n"
    )


async def hand_in(house: House, numbers: Sequence[int]) -> None:
    """Hand in the mails *numbers* over one connection, one after the other."""
    host, _, port = house.bridge.door.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    steps = ["HELO c\r\n"]
    for number in numbers:
        address = f"7999{number:07}@sms.local"
        steps += [
            "MAIL FROM:<nagios@example.org>\r\n", f"RCPT TO:<{address}>\r\n", "DATA\r\n",
            content(address, number),
        ]  # fmt: skip
    for step in [*steps, "QUIT\r\n"]:
        writer.write(step.encode())
        reply = await reader.readline()
        assert reply[:1] in (b"2", b"3"), reply
    writer.close()
    await writer.wait_closed()


async def hand_in_at_once(house: House, numbers: Sequence[int]) -> None:
    """Hand in the mails *numbers*, each over a connection of its own and all at once."""
    await asyncio.gather(*(hand_in(house, [number]) for number in numbers))


async def put_waiting(counted: Counted, count: int) -> None:
    """Have *count* messages in the queue that are due, as after a gateway's trouble, and the bridge look at them."""
    mails = [
        new_mail(
            f"W{number}",
            new_message(f"W{number}.1", phone=f"+7999{FIRST + number:07}", key=f"key {number}"),
            received_at=START,
        )
        for number in range(count)
    ]
    await asyncio.gather(*map(counted.store.put, mails))
    counted.house.bridge.dispatcher.wake()


async def test_a_lone_mail_is_a_few_transactions_and_one_request(counted: Counted) -> None:
    """Kept, claimed, settled: three that write; the others are looks for more that find nothing."""
    work = await counted.work_of(hand_in(counted.house, [FIRST]))
    assert work.commits <= 6
    assert work.statements <= 34
    assert work.requests == 1


async def test_mails_over_one_connection_cost_no_more_than_lone_ones(counted: Counted) -> None:
    """One after the other there is little to share; what a mail costs does not grow with the mails before it."""
    work = await counted.work_of(hand_in(counted.house, range(FIRST, FIRST + MAILS)))
    assert work.commits <= 4 * MAILS
    assert work.statements <= 22 * MAILS
    assert work.requests <= MAILS


async def test_mails_at_once_share_commits_statements_and_requests(counted: Counted) -> None:
    """Sixty mails at once over as many connections cost far fewer than sixty of anything."""
    work = await counted.work_of(hand_in_at_once(counted.house, range(FIRST, FIRST + MAILS)))
    assert work.commits <= MAILS / 2
    assert work.statements <= 2 * MAILS
    assert work.requests <= MAILS / 4


async def test_what_waits_leaves_in_full_requests(counted: Counted) -> None:
    """Of two hundred messages that wait together a hundred leave in each request, and all share their transactions."""
    work = await counted.work_of(put_waiting(counted, BATCH))
    # one more where a look comes between
    assert work.requests <= 0.02 * BATCH
    assert work.commits <= 0.1 * BATCH
    assert work.statements <= 0.5 * BATCH


async def test_receipts_are_asked_for_in_full_requests(counted: Counted) -> None:
    """What two hundred messages became is asked a few times for all of them, not for each."""
    await counted.work_of(put_waiting(counted, BATCH))
    # among it what the duties of two minutes look for in forty steps, with or without messages
    work = await counted.work_of(counted.house.pass_s(120), until_all=State.DELIVERED)
    assert work.requests <= 0.02 * BATCH
    assert work.commits <= 0.4 * BATCH
    assert work.statements <= 4 * BATCH


async def test_a_message_is_a_fixed_number_of_rows(counted: Counted) -> None:
    """Each message sent is written to five tables, once, and three times to its history."""
    await counted.work_of(hand_in_at_once(counted.house, range(FIRST, FIRST + MAILS)))
    assert counted.rows() == {table: each * MAILS for table, each in ROWS.items()}


async def test_each_mail_and_each_header_field_is_read_once(counted: Counted, parsed: Counter[str]) -> None:
    """On the whole way from the door to the gateway a mail is taken apart once, and each of its fields decoded once."""
    await counted.work_of(hand_in(counted.house, range(FIRST, FIRST + 10)))
    assert parsed == {"mails": 10, "fields": 10 * FIELDS}


def test_a_row_is_written_without_making_lists() -> None:
    """SQLite makes the list of an ``IN`` in an index's condition anew for each row: a third of what an INSERT costs."""
    conditions = {
        index.name: index.dialect_options["sqlite"]["where"]
        for table in metadata.tables.values()
        for index in table.indexes
    }
    partial = {name: str(where) for name, where in conditions.items() if where is not None}
    assert partial
    assert not [name for name, where in partial.items() if " IN " in where.upper()]

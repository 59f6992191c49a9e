"""The queue in an SQLite file: which statement runs in which lane. Engine settings stand in ``sqlite_file.py``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from mailbridge.errors import StoreError
from mailbridge.model.state import State
from mailbridge.queue import sqlite_file
from mailbridge.queue.contract import (
    Attempt,
    Change,
    Claimed,
    Detail,
    DueReport,
    Filter,
    GatewayState,
    HistoryEntry,
    NewMail,
    OutgoingMail,
    Plan,
    PutResult,
    Spend,
    StoredMail,
    StoredMessage,
)
from mailbridge.queue.lanes import Lane, WriterLane
from mailbridge.queue.reserve import Reserve
from mailbridge.queue.statements import changes, claims, clock, gateways, mails, prune, questions, reports


class SqliteStore:
    """A ``Store`` in one file. *exclusive*: be its only daemon (verbs that work beside it are not)."""

    def __init__(self, path: Path, *, exclusive: bool = False) -> None:
        self._exclusive = exclusive
        self._file = sqlite_file.SqliteFile(path, exclusive=exclusive)
        # verbs come and go beside the daemon, whose reserve it is
        self._reserve = Reserve(path.with_name(path.name + ".reserve")) if exclusive else None
        self._writer = WriterLane(self._file.writing_engine(), self._reserve)
        #: what delivery asks
        self._reader = Lane(self._file.reading_engine(), "reader")
        #: what people ask: a long search holds up nobody but the next one
        self._browser = Lane(self._file.reading_engine(), "browser")
        self._data_version: int | None = None
        self._closed = False

    @property
    def commits(self) -> int:
        """Transactions committed through the writer so far."""
        return self._writer.commits

    @property
    def statements(self) -> int:
        """SQL statements executed so far, a batch counting as one."""
        return self._file.statements

    async def open(self) -> None:
        """Open, create or migrate the file, and check it. Raises: StoreDamaged for what is no queue of ours."""
        if self._closed:
            raise StoreError("the queue was closed")
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.close)
            await asyncio.to_thread(self._file.prepare)
            if self._reserve is not None:
                with suppress(OSError):  # a full disk: the next mail asks again
                    await asyncio.to_thread(self._reserve.take)
            self._data_version = await self._writer.run_outside(sqlite_file.data_version)
            undo.pop_all()

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent."""
        if self._closed:
            return
        self._closed = True
        # the writer last: the last connection to go merges the log into the file, and only it may write
        for lane in (self._browser, self._reader, self._writer):
            await lane.close()
        if self._reserve is not None and self._file.is_locked:
            self._reserve.remove()
        self._file.release()

    async def ping(self) -> None:
        """Prove that the store can be written to now; on a full disk it can't, whatever is kept back."""
        await self._batch(_run_each, gateways.ping, drains=False)

    # -- mails
    async def put(self, mail: NewMail) -> PutResult:
        """Keep a mail: on disk when this returns."""
        result: PutResult = await self._batch(mails.put_mails, mail, drains=False)
        return result

    async def release_reports(self, mail_id: str, *, told: Collection[str]) -> None:
        """Drop the failures of the messages the client was *told* of; the rest may go out now."""
        await self._write(partial(reports.release_reports, mail_id=mail_id, told=frozenset(told)))

    # -- delivery
    async def claim(
        self, *, now: datetime, limit: int, node: str, gateways: frozenset[str], plan: Plan
    ) -> Sequence[Claimed]:
        """Take due queued messages, write their intents and return the requests to make."""
        if not gateways:
            return ()
        claimed: Sequence[Claimed] = await self._write(
            partial(claims.claim, now=now, limit=limit, node=node, plan=plan)
        )
        return claimed

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Carry out decided moves; tell for each whether it applied."""
        if not changes:
            return ()
        applied: Sequence[bool] = await self._batch(_apply_all, changes)
        return applied

    async def due_questions(self, *, now: datetime, limit: int, states: frozenset[State]) -> Sequence[StoredMessage]:
        """Return ``unknown`` and/or ``sent`` rows whose next question is due, oldest first."""
        return await self._reader.run(partial(questions.due_questions, now=now, limit=limit, states=states))

    async def find_attempts(self, keys: Sequence[tuple[str, str, str]]) -> Mapping[tuple[str, str, str], StoredMessage]:
        """Find messages by (gateway, gateway id, phone)."""
        return await self._reader.run(partial(questions.find_attempts, keys=keys))

    async def attempts_of(self, message_id: str) -> Sequence[Attempt]:
        """Return a message's attempts, oldest first."""
        return await self._reader.run(partial(questions.attempts_of, message_id=message_id))

    async def recover(self, *, node: str, now: datetime) -> int:
        """Turn what *node* had in ``sending`` into ``unknown``; all of it, where no other daemon can be."""
        count: int = await self._write(partial(claims.recover, node=None if self._exclusive else node, now=now))
        return count

    async def clock_set_back(self, *, now: datetime) -> int:
        """Make due at *now* what was last touched after it."""
        count: int = await self._write(partial(clock.clock_set_back, now=now))
        return count

    async def expired(self, *, now: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages whose lifetime is over."""
        return await self._reader.run(partial(questions.expired, now=now, limit=limit))

    async def due_warnings(self, *, created_before: datetime, limit: int) -> Sequence[StoredMessage]:
        """Return queued and unknown messages older than that whose sender may be told and was not yet."""
        return await self._reader.run(partial(questions.due_warnings, created_before=created_before, limit=limit))

    async def next_due_at(self, gateways: frozenset[str]) -> datetime | None:
        """Return when the next queued message is due."""
        return await self._reader.run(questions.next_due_at) if gateways else None

    # -- questions
    async def get_mail(self, mail_id: str) -> StoredMail | None:
        """Return a mail."""
        return await self._reader.run(partial(questions.get_mail, mail_id=mail_id))

    async def get_messages(self, id_: str) -> Sequence[StoredMessage]:
        """Return a message, or all messages of a mail in order."""
        return await self._reader.run(partial(questions.get_messages, id_=id_))

    async def history(self, message_id: str) -> Sequence[HistoryEntry]:
        """Return a message's history, oldest first."""
        return await self._browser.run(partial(questions.read_history, message_id=message_id))

    async def find(self, wanted: Filter) -> Sequence[StoredMessage]:
        """List messages, newest first."""
        return await self._browser.run(partial(questions.find, wanted=wanted))

    async def count_states(self) -> Mapping[State, int]:
        """Count messages by state."""
        return await self._browser.run(questions.count_states)

    async def oldest_waiting_at(self) -> datetime | None:
        """Return when the oldest message that waits came in."""
        return await self._browser.run(questions.oldest_waiting_at)

    async def spend(self, *, since: datetime) -> Sequence[Spend]:
        """Sum the prices of what was handed over since then."""
        return await self._browser.run(partial(questions.spend, since=since))

    # -- gateways
    async def gateway_states(self) -> Mapping[str, GatewayState]:
        """Return what is known of each gateway."""
        return await self._reader.run(gateways.gateway_states)

    async def save_gateway_state(self, state: GatewayState) -> None:
        """Keep a gateway's state."""
        await self._write(partial(gateways.save_gateway_state, state=state))

    async def changed_outside(self) -> bool:
        """Tell whether another process has committed since the last time this was asked."""
        before = self._data_version
        self._data_version = await self._writer.run_outside(sqlite_file.data_version)
        return self._data_version != before

    # -- reports
    async def due_reports(self, *, now: datetime, limit: int) -> Sequence[DueReport]:
        """Return what senders are to be told, one entry a mail."""
        return await self._reader.run(partial(reports.due_reports, now=now, limit=limit))

    async def put_outgoing(self, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
        """Mark *items* as reported and keep the report for the mailer, unless all of them were reported before."""
        await self._write(partial(reports.put_outgoing, mail=mail, items=items, now=now))

    async def due_outgoing(self, *, now: datetime, limit: int) -> Sequence[OutgoingMail]:
        """Return the mails whose next attempt is due, oldest first."""
        return await self._reader.run(partial(reports.due_outgoing, now=now, limit=limit))

    async def settle_outgoing(self, id_: int, *, done: bool, next_attempt_at: datetime | None, error: str) -> None:
        """Forget a mail that is done with, or note a failed attempt."""
        await self._write(
            partial(reports.settle_outgoing, id_=id_, done=done, next_attempt_at=next_attempt_at, error=error)
        )

    # -- housekeeping
    async def nth_newest_at(self, n: int) -> datetime | None:
        """Return when the *n*-th newest mail came in."""
        return await self._browser.run(partial(prune.nth_newest_at, n=n))

    async def prune(self, *, before: datetime, sent_before: datetime, limit: int) -> int:
        """Delete old mails of which nothing more is expected."""
        count: int = await self._write(partial(prune.prune, before=before, sent_before=sent_before, limit=limit))
        return count

    async def _write(self, work: Callable[[Connection], Any]) -> Any:
        return await self._batch(_run_each, work)

    async def _batch(
        self, batch: Callable[[Connection, Sequence[Any]], Sequence[Any]], argument: Any, *, drains: bool = True
    ) -> Any:
        if self._closed:
            raise StoreError("the queue was closed")
        return await self._writer.write(batch, argument, drains=drains)


def _run_each(conn: Connection, works: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    return [work(conn) for work in works]


def _apply_all(conn: Connection, calls: Sequence[Sequence[Change]]) -> list[Sequence[bool]]:
    """Carry out the changes of many calls as one list and hand each call its own results."""
    results = iter(changes.apply(conn, [change for call in calls for change in call]))
    return [[next(results) for _ in call] for call in calls]

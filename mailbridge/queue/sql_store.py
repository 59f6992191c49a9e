"""The queue in a database: which statement runs in which lane, the same for every engine.

What an engine needs beside the statements is its ``Database``: ``sqlite.py`` and ``postgres.py`` bring theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from mailbridge.errors import StoreError
from mailbridge.model.inbound import InboundSms
from mailbridge.model.limits import Throttle, Whose
from mailbridge.model.state import State
from mailbridge.queue.browsing import Asked, Event, Page, Tally
from mailbridge.queue.cluster import Cluster
from mailbridge.queue.contract import (
    Attempt,
    Change,
    Claims,
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
from mailbridge.queue.escalations import Advance, FoundEscalation, StoredInbound, Wanted
from mailbridge.queue.kept import Closing, DueGathering, Foreseen, Gather, KeptCalendar
from mailbridge.queue.lanes import Fate, HangUp, Lane, Room, WriterLane
from mailbridge.queue.statements import (
    browsing,
    changes,
    claims,
    clock,
    counters,
    escalations,
    gateways,
    gatherings,
    inbox,
    mails,
    prune,
    questions,
    reports,
)
from mailbridge.queue.statements import calendars as kept


class Database(Protocol):
    """One engine's own part: connections, opening, and how its processes hear of each other."""

    #: SQL statements executed through the engines so far
    statements: int

    @property
    def patience_s(self) -> float | None:
        """How long a caller waits for it; None: as long as it takes."""
        ...

    @property
    def fate(self) -> Fate | None:
        """How to learn what became of a commit whose answer was lost; None where answers are not lost."""
        ...

    @property
    def hang_up(self) -> HangUp | None:
        """What is told of a connection on which nothing ends; None where the engine has no such."""
        ...

    @property
    def room(self) -> Room | None:
        """How to go on with what was promised when the disk is full; None where the engine has no means."""
        ...

    def writing_engine(self) -> Engine:
        """Return the engine of the one writer."""
        ...

    def reading_engine(self) -> Engine:
        """Return an engine that cannot write."""
        ...

    def prepare(self) -> None:
        """Make, check and migrate the tables. Raises: StoreDamaged, StoreError with words for the operator."""
        ...

    def release(self) -> None:
        """Give up what ``prepare`` took."""
        ...

    def announce(self, conn: Connection) -> None:
        """With the commit, tell other processes that something is due, where the engine can."""
        ...


class SqlStore:
    """A ``Store`` in *database*."""

    @property
    def cluster(self) -> Cluster | None:
        """What it does beside, where several daemons may work on it."""
        return None

    #: clocks of several machines are never quite alike
    _clocks_differ = timedelta()

    def __init__(self, database: Database) -> None:
        self._database = database
        silent: dict[str, Any] = {"patience_s": database.patience_s, "hang_up": database.hang_up}
        self._writer = WriterLane(database.writing_engine(), fate=database.fate, room=database.room, **silent)
        #: what delivery asks
        self._reader = Lane(database.reading_engine(), "reader", **silent)
        #: what people ask: a long search holds up nobody but the next one
        self._browser = Lane(database.reading_engine(), "browser", **silent)
        self._closed = False

    @property
    def commits(self) -> int:
        """Transactions committed through the writer so far."""
        return self._writer.commits

    @property
    def statements(self) -> int:
        """SQL statements executed so far, a batch counting as one."""
        return self._database.statements

    async def open(self) -> None:
        """Open, create or migrate the database, and check it. Raises: StoreDamaged for what is no queue of ours."""
        if self._closed:
            raise StoreError("the queue was closed")
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.close)
            await asyncio.to_thread(self._database.prepare)
            await self._opened()
            undo.pop_all()

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent."""
        if self._closed:
            return
        self._closed = True
        # the writer last: SQLite's last connection to go merges the log into the file, and only it may write
        for lane in (self._browser, self._reader, self._writer):
            await lane.close()
        self._database.release()

    async def _opened(self) -> None:
        """Do what an engine's store begins with."""

    async def ping(self) -> None:
        """Prove that the store can be written to now; on a full disk it can't, whatever is kept back."""
        await self._batch(_run_each, gateways.ping, drains=False)

    # -- mails
    async def put(self, mail: NewMail) -> PutResult:
        """Keep a mail: on disk when this returns."""
        result: PutResult = await self._batch(self._put_all, mail, drains=False)
        return result

    async def release_reports(self, mail_id: str, *, told: Collection[str]) -> None:
        """Drop the failures of the messages the client was *told* of; the rest may go out now."""
        await self._write(partial(reports.release_reports, mail_id=mail_id, told=frozenset(told)))

    # -- delivery
    async def claim(
        self, *, now: datetime, limit: int, node: str, gateways: frozenset[str], plan: Plan,
        throttle: Throttle | None = None, whose: Whose | None = None,
    ) -> Claims:  # fmt: skip
        """Take due queued messages, write their intents and return the requests to make."""
        if not gateways:
            return Claims()
        is_shared = self.cluster is not None
        claimed: Claims = await self._write(
            partial(
                claims.claim,
                now=now,
                limit=limit,
                node=node,
                plan=plan,
                is_shared=is_shared,
                throttle=throttle,
                whose=whose,
            )
        )
        return claimed

    async def apply(self, changes: Sequence[Change]) -> Sequence[bool]:
        """Carry out decided moves; tell for each whether it applied."""
        if not changes:
            return ()
        applied: Sequence[bool] = await self._batch(self._apply_all, changes)
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

    async def recover(self, *, node: str, now: datetime, keep: Collection[str] = ()) -> int:
        """Turn what *node* had in ``sending``, but for *keep*, into ``unknown``."""
        count: int = await self._write(partial(claims.recover, node=node, now=now, keep=keep))
        return count

    async def clock_set_back(self, *, now: datetime) -> int:
        """Make due at *now* what was last touched after it."""
        count: int = await self._write(partial(clock.clock_set_back, now=now, slack=self._clocks_differ))
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

    async def count_waiting(self, *, up_to: int) -> int:
        """Count messages that wait: in delivery's lane, where no person's search is in the way."""
        return await self._reader.run(partial(questions.count_waiting, up_to=up_to))

    async def spend(self, *, since: datetime) -> Sequence[Spend]:
        """Sum the prices of what was handed over since then."""
        return await self._browser.run(partial(questions.spend, since=since))

    # -- who looks
    async def page(self, wanted: Filter, *, reach: int) -> Page:
        """List messages, newest first, reading at most *reach* of them."""
        return await self._browser.run(partial(browsing.page, wanted=wanted, reach=reach))

    async def tally(self, *, since: datetime, until: datetime) -> Sequence[Tally]:
        """Count the messages that came in from *since* to before *until*, hour by hour."""
        return await self._browser.run(partial(browsing.tally, since=since, until=until))

    async def events(self, *, after: int, limit: int) -> Sequence[Event]:
        """Return the lines of the history numbered above *after*, in their order."""
        return await self._browser.run(partial(browsing.events, after=after, limit=limit))

    async def last_event(self) -> int:
        """Return the number of the newest line of the history."""
        return await self._browser.run(browsing.last_event)

    async def ask_once(self, asked: Asked, *, now: datetime) -> Asked:
        """Keep *asked*, unless its key is kept already and still holds; return what is kept."""
        kept_one: Asked = await self._write(partial(browsing.ask_once, asked=asked, now=now))
        return kept_one

    async def owner_of(self, keys: Sequence[str], *, now: datetime) -> str | None:
        """Return the id of the message that a mail with one of *keys* would repeat."""
        return await self._browser.run(partial(mails.owner_of, keys=keys, now=now))

    async def bookmark(self, name: str) -> int | None:
        """Return what was kept under *name*."""
        return await self._browser.run(partial(browsing.read_bookmark, name=name))

    async def keep_bookmark(self, name: str, n: int) -> None:
        """Keep how far somebody has read the history."""
        await self._write(partial(browsing.keep_bookmark, name=name, n=n))

    # -- limits
    async def counters(self, keys: Collection[str]) -> Mapping[str, str]:
        """Return the texts of those of the counters *keys* that were ever charged."""
        return await self._reader.run(partial(counters.read, names=keys)) if keys else {}

    async def counters_named(self, prefix: str) -> Mapping[str, str]:
        """Return all counters whose names begin with *prefix*."""
        return await self._reader.run(partial(counters.read_named, prefix=prefix))

    async def keep_note(self, name: str, text: str, *, until: datetime) -> None:
        """Keep a text beside the counters."""
        await self._write(partial(counters.keep, name=name, state=text, until=until))

    async def note_told(self, key: str, percent: int) -> bool:
        """Note that the operator is told so much of a budget is used up; False when that was noted before."""
        noted: bool = await self._write(partial(counters.note_told, key=key, percent=percent))
        return noted

    # -- gateways
    async def gateway_states(self) -> Mapping[str, GatewayState]:
        """Return what is known of each gateway."""
        return await self._reader.run(gateways.gateway_states)

    async def save_gateway_state(self, state: GatewayState) -> None:
        """Keep a gateway's state."""
        await self._write(partial(self._save_gateway_state, state=state))

    # -- rotas
    async def calendars(self) -> Sequence[KeptCalendar]:
        """Return what was last read of each calendar."""
        return await self._reader.run(kept.read_calendars)

    async def keep_calendar(self, calendar: KeptCalendar) -> None:
        """Keep what was read of a calendar."""
        await self._write(partial(kept.keep_calendar, calendar=calendar))

    # -- gatherings
    async def due_gatherings(self, *, now: datetime, limit: int, most: int) -> Sequence[DueGathering]:
        """Return gatherings that are due."""
        return await self._reader.run(partial(gatherings.due_gatherings, now=now, limit=limit, most=most))

    async def next_gathering_at(self) -> datetime | None:
        """Return when the next gathering is due."""
        return await self._reader.run(gatherings.next_gathering_at)

    async def foresee(self, gather: Gather, *, now: datetime) -> Foreseen:
        """Say what would become of a message that came in now."""
        return await self._browser.run(partial(gatherings.foresee_one, gather=gather, now=now))

    async def close_gathering(self, closing: Closing) -> bool:
        """Carry out a decision about a gathering."""
        closed: bool = await self._write(partial(self._close_gathering, closing=closing))
        return closed

    # -- escalations
    async def due_escalations(self, *, now: datetime, limit: int) -> Sequence[FoundEscalation]:
        """Return escalations that are due."""
        return await self._reader.run(partial(escalations.due_escalations, now=now, limit=limit))

    async def find_escalations(self, wanted: Wanted) -> Sequence[FoundEscalation]:
        """Return what *wanted* asks for, newest first."""
        return await self._reader.run(partial(escalations.find_escalations, wanted=wanted))

    async def is_anything_escalating(self) -> bool:
        """Tell whether anything is to be looked at."""
        return await self._reader.run(escalations.is_anything_escalating)

    async def advance(self, advance: Advance) -> bool:
        """Carry out a decision about an escalation."""
        done: bool = await self._write(partial(self._advance, advance=advance))
        return done

    # -- inbound
    async def take_inbound(
        self, items: Sequence[InboundSms], *, via: str, now: datetime, cursor: tuple[str, int] | None = None
    ) -> int:
        """Keep inbound SMS, each once, and how far an inbox was read."""
        if not items and cursor is None:
            return 0
        taken: int = await self._write(partial(inbox.take_inbound, items=items, via=via, now=now, cursor=cursor))
        return taken

    async def inbox_cursor(self, gateway: str) -> int | None:
        """Return how far a gateway's inbox was read."""
        return await self._reader.run(partial(inbox.inbox_cursor, gateway=gateway))

    async def unhandled_inbound(self, *, limit: int) -> Sequence[StoredInbound]:
        """Return inbound SMS of which nothing was made yet."""
        return await self._reader.run(partial(inbox.unhandled_inbound, limit=limit))

    async def settle_inbound(self, n: int, *, result: str) -> bool:
        """Note what was made of an inbound SMS."""
        settled: bool = await self._write(partial(inbox.settle_inbound, n=n, result=result))
        return settled

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

    # -- in the writer's thread
    def _put_all(self, conn: Connection, new_mails: Sequence[NewMail]) -> Sequence[PutResult]:
        results = mails.put_mails(conn, new_mails)
        # what a node is to send first, it is no use to wake the others for
        if any(mail.taken_by is None for mail in new_mails):
            self._database.announce(conn)
        return results

    def _apply_all(self, conn: Connection, calls: Sequence[Sequence[Change]]) -> list[Sequence[bool]]:
        """Carry out the changes of many calls as one list and hand each call its own results."""
        wanted = [change for call in calls for change in call]
        applied = changes.apply(conn, wanted)
        if any(took and change.to is State.QUEUED for change, took in zip(wanted, applied, strict=True)):
            self._database.announce(conn)
        results = iter(applied)
        return [[next(results) for _ in call] for call in calls]

    def _close_gathering(self, conn: Connection, closing: Closing) -> bool:
        closed = gatherings.close_gathering(conn, closing=closing)
        if closed and (closing.mail is not None or closing.changes):
            self._database.announce(conn)
        return closed

    def _advance(self, conn: Connection, advance: Advance) -> bool:
        done = escalations.advance(conn, advance=advance, put_mails=mails.put_mails)
        if done and (advance.mail is not None or advance.outgoing is not None):
            self._database.announce(conn)
        return done

    def _save_gateway_state(self, conn: Connection, state: GatewayState) -> None:
        gateways.save_gateway_state(conn, state)
        self._database.announce(conn)


def _run_each(conn: Connection, works: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    return [work(conn) for work in works]

"""The part of the store's contract that serves who looks and asks: pages, sums for plots, what happened lately.

``contract.Store`` includes it; what is said there of transactions, times and errors holds here. Nothing here may
hold up delivery: a page reads a bounded number of rows, and the rest is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from mailbridge.model.state import State

if TYPE_CHECKING:
    from mailbridge.queue.contract import Filter, HistoryEntry, StoredMessage

#: what few messages are, and who looks after the bridge asks for first: an index leads to them
RARE_STATES = frozenset(
    {State.UNKNOWN, State.UNDELIVERED, State.EXPIRED, State.FAILED, State.CANCELLED, State.HELD, State.SUPPRESSED}
)
#: the hour that sums are kept by
HOUR = timedelta(hours=1)
#: latencies are counted in classes: up to so many seconds each, and one beyond the last
LATENCIES_S = (
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 86400.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some messages, newest first."""

    messages: tuple[StoredMessage, ...]
    #: for ``Filter.after_id`` of the next page; None: nothing older is left to look at
    after_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Messages that came in within one hour and are alike in all that is named here."""

    #: the hour's beginning, in UTC
    hour: datetime
    state: State
    gateway: str | None
    currency: str | None
    #: of each of them
    price: Decimal | None
    #: class of the time from coming in to the newest attempt; None: there was none
    handed_over: int | None
    #: class of the time from coming in to the handset; None: it is not there
    arrived: int | None
    messages: int
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the history, numbered in the order of writing, with its message as it is now."""

    n: int
    entry: HistoryEntry
    message: StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is to be carried out once, whoever repeats it."""

    key: str
    #: tells whether a repetition asks for the same
    fingerprint: str
    #: the mail it makes
    mail_id: str
    until: datetime


def is_straight(wanted: Filter) -> bool:
    """Tell whether an index leads to *wanted*."""
    return wanted.phone is not None or (wanted.states is not None and wanted.states <= RARE_STATES)


class Browsing(Protocol):
    """What is asked by people and by programs that stand in for them."""

    async def page(self, wanted: Filter, *, reach: int) -> Page:
        """List messages, newest first, reading at most *reach* of them; the page may then be short, or empty.

        Where an index leads to what is asked for (a phone, rare states alone), no other message is read and all are
        found.
        """
        ...

    async def tally(self, *, since: datetime, until: datetime) -> Sequence[Tally]:
        """Count the messages that came in from *since* to before *until*, hour by hour."""
        ...

    async def events(self, *, after: int, limit: int) -> Sequence[Event]:
        """Return the lines of the history numbered above *after*, in their order.

        Of several nodes a line may be seen after one with a higher number that was written at the same time.
        """
        ...

    async def last_event(self) -> int:
        """Return the number of the newest line of the history; 0 where there is none."""
        ...

    async def ask_once(self, asked: Asked, *, now: datetime) -> Asked:
        """Keep *asked*, unless its key is kept already and still holds at *now*; return what is kept."""
        ...

    async def owner_of(self, keys: Sequence[str], *, now: datetime) -> str | None:
        """Return the id of the message that a mail with one of the dedupe *keys* would repeat; None: of none."""
        ...

    async def bookmark(self, name: str) -> int | None:
        """Return what ``keep_bookmark`` kept under *name*."""
        ...

    async def keep_bookmark(self, name: str, n: int) -> None:
        """Keep how far somebody has read the history."""
        ...

"""The part of the store's contract that serves people: calendars that were read, and messages that wait for each other.

``contract.Store`` includes it; what is said there of transactions, times and errors holds here.

A message that waits for others is ``queued`` without a time, so that nothing claims it. Its gathering says when they
all are due; until then the row, and what is known of the alert, are on disk like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from mailbridge.model.alert import Alert, Digest

if TYPE_CHECKING:
    from mailbridge.queue.contract import Change, NewMail, StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCalendar:
    """What was last read of a rota's calendar, for the time when it cannot be read."""

    rota: str
    #: tells which address it was read from, without saying it
    source: str
    #: as ``people.calendar.dump_shifts`` writes them
    shifts: str
    read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """A new message may have to wait with others, and why. Exactly one of *digest* and *quiet_until* is given."""

    #: messages with the same key wait together: for one recipient, by one rule
    key: str
    rule: str | None = None
    digest: Digest | None = None
    quiet_until: datetime | None = None
    #: the quiet hours that hold
    quiet: tuple[str, ...] = ()
    #: its subject tells a repeat: never empty
    alert: Alert
    #: a new problem of that severity goes out at once
    passes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Messages that wait for each other, or the time after one that went out at once."""

    key: str
    rule: str | None
    opened_at: datetime
    due_at: datetime
    #: the present length of the window: it grows while a storm lasts
    window_s: float
    #: None: they wait for the end of quiet hours
    digest: Digest | None
    quiet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The last that was heard of an alert's subject within a gathering's key."""

    #: its event and severity
    state: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would become of a message that came in now."""

    waits: bool
    #: when what waits there is told
    until: datetime
    is_repeat: bool
    #: how many wait there already
    beside: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits."""

    message: StoredMessage
    alert: Alert
    #: the same was told or waited already
    is_repeat: bool
    #: the last line of its text, where somebody has to answer it; else empty
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGathering:
    """A gathering whose time has come, with those that still wait in it, oldest first."""

    gathering: Gathering
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What was decided about a due gathering: one transaction, or nothing of it."""

    key: str
    #: it happens only while the gathering is the one it was decided on …
    opened_at: datetime
    #: … and each of these still waits
    changes: tuple[Change, ...] = ()
    #: the message that stands for them
    mail: NewMail | None = None
    #: that of *changes* whose escalation the message that stands for them carries on
    heir: str = ""
    #: what takes the gathering's place; None: nothing
    then: Gathering | None = None
    at: datetime


class Keeps(Protocol):
    """What is kept for people."""

    async def calendars(self) -> Sequence[KeptCalendar]:
        """Return what was last read of each calendar."""
        ...

    async def keep_calendar(self, calendar: KeptCalendar) -> None:
        """Keep what was read of a calendar in place of what was read before."""
        ...

    async def due_gatherings(self, *, now: datetime, limit: int, most: int) -> Sequence[DueGathering]:
        """Return up to *limit* gatherings that are due, or lie in the future of a clock that was set back.

        Of each at most the *most* oldest messages.
        """
        ...

    async def next_gathering_at(self) -> datetime | None:
        """Return when the next gathering is due; None where there is none."""
        ...

    async def foresee(self, gather: Gather, *, now: datetime) -> Foreseen:
        """Say what would become of a message that came in *now* and asked for that; nothing changes."""
        ...

    async def close_gathering(self, closing: Closing) -> bool:
        """Carry out a decision about a gathering; False: it is not as it was decided on, and nothing happened."""
        ...

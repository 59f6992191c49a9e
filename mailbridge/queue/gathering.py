"""The decisions every store takes alike about messages that wait for each other.

Pure functions over plain values, called inside a store's transaction, as those of ``rules.py`` are.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from mailbridge.model.alert import Alert, Digest, Event
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Detail, NewMessage
from mailbridge.queue.kept import Closing, Foreseen, Gather, Gathering, Seen

#: what was seen of an alert is forgotten after this
FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(slots=True)
class Book:
    """The gatherings, and what was seen, that concern some mails; ``arrive`` carries it on."""

    gatherings: MutableMapping[str, Gathering]
    seen: MutableMapping[tuple[str, str], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What becomes of a new message."""

    message: NewMessage
    #: it waits
    waits: bool
    is_repeat: bool


def arrive(new: NewMessage, gather: Gather, book: Book, now: datetime) -> Arrived:
    """Decide whether *new* goes out at once or waits, and note it in *book*."""
    gathering, waits, is_repeat = _join(gather, book, now)
    if not waits:
        return Arrived(message=new, waits=False, is_repeat=is_repeat)
    because = {
        "waits_for": "quiet hours" if gathering.digest is None else "digest",
        "until": gathering.due_at.isoformat(timespec="seconds"),
    }
    if gathering.quiet:
        because["quiet_hours"] = ", ".join(gathering.quiet)
    if is_repeat:
        because["repeat_of"] = gather.alert.subject[:100]
    longest_s = gather.digest.repeat_s + gather.digest.longest_s if gather.digest is not None else 0.0
    # the time it waits is none of its lifetime
    ends_at = max(gathering.due_at, now + timedelta(seconds=longest_s)) + (new.expires_at - now)
    message = replace(new, detail={**new.detail, **because}, expires_at=ends_at, waits=True)
    return Arrived(message=message, waits=True, is_repeat=is_repeat)


def foresee(gather: Gather, book: Book, now: datetime, *, beside: int) -> Foreseen:
    """Say what ``arrive`` would decide; *book* is spent by that. *beside*: how many wait there."""
    gathering, waits, is_repeat = _join(gather, book, now)
    return Foreseen(waits=waits, until=gathering.due_at, is_repeat=is_repeat, beside=beside)


def _join(gather: Gather, book: Book, now: datetime) -> tuple[Gathering, bool, bool]:
    """Return what a message joins, whether it waits there, and whether it is a repeat; noted in *book*."""
    is_repeat = _note(gather, book, now)
    gathering = book.gatherings.get(gather.key)
    if gather.digest is not None:
        is_new_problem = gather.passes and not is_repeat and gather.alert.event is not Event.RECOVERY
        waits = is_repeat or (gathering is not None and not is_new_problem)
    else:
        waits = True
    if gathering is None:
        gathering = book.gatherings[gather.key] = _open(gather, now)
    return gathering, waits, is_repeat


def _note(gather: Gather, book: Book, now: datetime) -> bool:
    """Note what was heard of the alert's subject; tell whether it is a repeat."""
    alert = gather.alert
    place, state = (gather.key, alert.subject), f"{alert.event or ''}:{alert.severity}"
    before = book.seen.get(place)
    book.seen[place] = Seen(state=state, at=now)
    forget_s = gather.digest.repeat_s if gather.digest is not None else 0.0
    return before is not None and before.state == state and abs((now - before.at).total_seconds()) < forget_s


def _open(gather: Gather, now: datetime) -> Gathering:
    digest = gather.digest
    if digest is None:
        assert gather.quiet_until is not None
        due_at, window_s = gather.quiet_until, 0.0
    else:
        window_s = digest.window_s
        due_at = now + timedelta(seconds=window_s)
    return Gathering(
        key=gather.key, rule=gather.rule, opened_at=now, due_at=due_at, window_s=window_s, digest=digest,
        quiet=gather.quiet,
    )  # fmt: skip


def is_due(gathering: Gathering, now: datetime) -> bool:
    """Tell whether its time has come. One opened in the future was opened before the clock was set back."""
    return gathering.due_at <= now or gathering.opened_at > now


def still_holds(closing: Closing, *, opened_at: datetime, waiting: frozenset[str]) -> bool:
    """Tell whether what *closing* was decided on still is so: what it counts is what it takes, and nobody is left.

    *waiting*: who waits there now. Somebody may be left where the gathering goes on.
    """
    decided = {change.message_id for change in closing.changes}
    return closing.opened_at == opened_at and decided <= waiting and (closing.then is not None or decided == waiting)


def swallow(message_id: str, by: str, *, count: int, at: datetime) -> Change:
    """Return the move of a message that goes out within another; *by*: that one's id, empty where nothing goes out."""
    detail: Detail = {"digest": by, "count": count} if by else {"because": "problem and recovery cancel each other"}
    return Change(
        message_id=message_id, expect=frozenset({State.QUEUED}), to=State.SUPPRESSED, at=at, event="suppressed",
        detail=detail,
    )  # fmt: skip


def release(message_id: str, *, at: datetime) -> Change:
    """Return the move of a message that has waited for nobody: it goes out as it is."""
    return Change(
        message_id=message_id, expect=frozenset({State.QUEUED}), to=State.QUEUED, at=at, event="queued",
        detail={"because": "nothing came to wait with it"}, next_attempt_at=at,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- as text
def dump_alert(alert: Alert) -> str:
    """Write an alert as JSON."""
    return json.dumps({key: value for key, value in asdict(alert).items() if value}, ensure_ascii=False)


def load_alert(text: str) -> Alert:
    """Read what ``dump_alert`` wrote."""
    fields = json.loads(text)
    if "event" in fields:
        fields["event"] = Event(fields["event"])
    return Alert(**fields)


def dump_digest(digest: Digest | None) -> str | None:
    """Write how a digest is made as JSON."""
    return None if digest is None else json.dumps({**asdict(digest), "passes": sorted(digest.passes)})


def load_digest(text: str | None) -> Digest | None:
    """Read what ``dump_digest`` wrote."""
    if text is None:
        return None
    fields = json.loads(text)
    return Digest(**{**fields, "passes": frozenset(fields["passes"])})

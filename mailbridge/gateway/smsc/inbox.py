"""The inbox: ``get.php?get_answers=1``, from the question's body to the SMS that came in (smsc-api.md 6.2). Pure.

Nothing found is an empty inbox, whichever way the gateway says it. An entry that cannot be read is passed over, and
the cursor goes past it: it would stand in the way of all that follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone

from mailbridge.gateway.contract import InboxPage
from mailbridge.gateway.smsc.answers import Failure, Garbage, Json, as_id, as_int
from mailbridge.gateway.smsc.callback import MAX_TEXT_CHARS, read_phone
from mailbridge.gateway.smsc.verdict import Parsed, judge_shut
from mailbridge.model.inbound import InboundSms
from mailbridge.model.outcome import ErrorClass, SmsError, Suspended

#: "nothing found", which is no error here
_NOTHING = 3
#: the inbox keeps a week; what a first look takes is what may still be an answer
_ALL_HOURS, _FIRST_HOURS = 168, 1
_MOSCOW = timezone(timedelta(hours=3))


def inbox_body(prefix: str, *, after_id: int | None, limit: int) -> bytes:
    """Build the body of the question for up to *limit* SMS after a cursor; None: those of the last hour."""
    where = f"&hour={_FIRST_HOURS}" if after_id is None else f"&hour={_ALL_HOURS}&after_id={after_id}"
    return f"{prefix}&get_answers=1&cnt={limit}{where}".encode("ascii")


def judge_inbox(parsed: Parsed, gateway: str) -> InboxPage | Suspended | SmsError:
    """Read the answer."""
    match parsed:
        case Failure(code=code) if code == _NOTHING:
            return InboxPage()
        case Failure():
            error = SmsError(code=str(parsed.code), text=parsed.text, error_class=ErrorClass.DEFERRED)
            return judge_shut(parsed) or error
        case Garbage():
            return SmsError(code="answer", text=parsed.why, error_class=ErrorClass.UNKNOWN)
        case str() | bytes():
            return _unreadable()
        case Sequence():
            entries = [entry for entry in parsed if isinstance(entry, Mapping)]
            ids = [as_int(entry.get("id")) for entry in entries]
            items = [_read(entry, gateway) for entry in entries]
            return InboxPage(
                items=tuple(item for item in items if item is not None),
                last_id=max((id_ for id_ in ids if id_ is not None), default=None),
                count=len(parsed),
            )
        case _:
            return _unreadable()


def _unreadable() -> SmsError:
    return SmsError(code="answer", text="not a list", error_class=ErrorClass.UNKNOWN)


def _read(entry: Mapping[str, Json], gateway: str) -> InboundSms | None:
    phone, text = read_phone(as_id(entry.get("phone"))), entry.get("message")
    if phone is None or not isinstance(text, str) or as_int(entry.get("id")) is None:
        return None
    return InboundSms(
        gateway=gateway, phone=phone, text=text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode(),
        to=as_id(entry.get("to_phone"))[:20], id=as_id(entry.get("id")),
        received_at=_moment(entry.get("received")) or _moment(entry.get("sent")),
    )  # fmt: skip


def _moment(value: Json) -> datetime | None:
    """Read ``15.11.2023 01:20:05``, in Moscow's time."""
    try:
        return datetime.strptime(value, "%d.%m.%Y %H:%M:%S").replace(tzinfo=_MOSCOW).astimezone(UTC)  # type: ignore[arg-type] # tried
    except (TypeError, ValueError, OverflowError):
        return None

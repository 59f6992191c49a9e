"""Between the queue's values and its rows; both directions stand side by side. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from mailbridge.model.message import Alphabet, Message
from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.state import FINAL, State
from mailbridge.queue import rules
from mailbridge.queue.contract import Detail, NewMail, NewMessage, Report, StoredMail, StoredMessage
from mailbridge.queue.tables import messages

Values = dict[str, Any]

#: built once: json.dumps would make one for each call that is not its default
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# a look-up costs a tenth of a call of the type
_STATES = {state.value: state for state in State}
_ALPHABETS = {alphabet.value: alphabet for alphabet in Alphabet}
_ERROR_CLASSES = {error_class.value: error_class for error_class in ErrorClass}


def to_us(at: datetime) -> int:
    """Return *at* as microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND


def to_us_or_none(at: datetime | None) -> int | None:
    """Return *at* as microseconds since 1970 UTC, None as None."""
    return None if at is None else to_us(at)


def from_us(us: int) -> datetime:
    """Return microseconds since 1970 UTC as aware UTC."""
    return _EPOCH + _MICROSECOND * us


def from_us_or_none(us: int | None) -> datetime | None:
    """Return microseconds since 1970 UTC as aware UTC, None as None."""
    return None if us is None else from_us(us)


def dump_detail(detail: Detail) -> str:
    """Return a history detail as JSON text."""
    return _ENCODER.encode(dict(detail)) if detail else "{}"


def load_detail(text: str) -> Detail:
    """Return JSON text as a history detail."""
    detail: Mapping[str, Any] = json.loads(text) if text != "{}" else {}
    return detail


# -------------------------------------------------------------------------------------------------- mails
def mail_values(mail: NewMail) -> Values:
    """Return the row of a new mail."""
    return {
        "id": mail.id,
        "received_at": to_us(mail.received_at),
        "sender": mail.sender,
        "client": mail.client,
        "user": mail.user,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "envid": mail.envid,
        "ret": mail.ret,
        "reportable": int(mail.reportable),
        "original": mail.original,
        "size_bytes": mail.size_bytes,
        "hold_reports_until": to_us_or_none(mail.hold_reports_until),
    }


def read_mail(row: Row[Any]) -> StoredMail:
    """Return a row of ``mails`` as a value."""
    return StoredMail(
        id=row.id,
        received_at=from_us(row.received_at),
        sender=row.sender,
        client=row.client,
        user=row.user,
        message_id=row.message_id,
        subject=row.subject,
        envid=row.envid,
        ret=row.ret,
        reportable=bool(row.reportable),
        original=bytes(row.original),
        size_bytes=row.size_bytes,
    )


# ----------------------------------------------------------------------------------------------- messages
def message_values(mail: NewMail, new: NewMessage, number: int) -> Values:
    """Return the row of a mail's new message, its *number*-th."""
    message = new.message
    created_us = to_us(mail.received_at)
    warnable = rules.is_report_wanted(Report.DELAYED, reportable=mail.reportable, notify=new.notify)
    return {
        "id": new.id,
        "mail_id": mail.id,
        "number": number,
        "phone": message.phone,
        "channel": message.channel,
        "sender": message.sender,
        "text": message.text,
        "translit": message.translit,
        "alphabet": message.alphabet.value,
        "composed_parts": message.parts,
        "flash": int(message.flash),
        "time": message.time,
        "valid": message.valid,
        "wanted_id": message.wanted_id,
        "rule": message.rule,
        "profile": message.profile,
        "notes": json.dumps(message.notes, ensure_ascii=False) if message.notes else None,
        "recipient": new.recipient,
        "notify": None if new.notify is None else " ".join(sorted(new.notify)),
        "orcpt": new.orcpt,
        "warnable": int(warnable),
        "state": new.state.value,
        "attempts": 0,
        "claimed_by": mail.taken_by,
        "asked": 0,
        "parts": message.parts,
        "created_at": created_us,
        "updated_at": created_us,
        "next_attempt_at": None if new.waits or new.state in FINAL else to_us(new.next_attempt_at),
        "expires_at": to_us(new.expires_at),
    }


_m = messages.c
#: the columns of a message as ``read_message`` takes them: by place, which costs a fraction of what names do
MESSAGE = (
    _m.id, _m.mail_id, _m.phone, _m.channel, _m.sender, _m.text, _m.translit, _m.alphabet, _m.composed_parts,
    _m.flash, _m.time, _m.valid, _m.wanted_id, _m.rule, _m.profile, _m.notes, _m.recipient, _m.notify, _m.orcpt,
    _m.state, _m.attempts, _m.gateway, _m.gateway_id, _m.attempted_at, _m.unknown_since, _m.asked, _m.parts, _m.price,
    _m.currency, _m.error_code, _m.error_text, _m.error_class, _m.created_at, _m.updated_at, _m.next_attempt_at,
    _m.expires_at,
)  # fmt: skip


def read_message(row: Sequence[Any]) -> StoredMessage:
    """Return the columns ``MESSAGE`` of a row as a value."""
    (
        id_, mail_id, phone, channel, sender, text, translit, alphabet, composed_parts, flash, time, valid, wanted_id,
        rule, profile, notes, recipient, notify, orcpt, state, attempts, gateway, gateway_id, attempted_at,
        unknown_since, asked, parts, price, currency, error_code, error_text, error_class, created_at, updated_at,
        next_attempt_at, expires_at,
    ) = row  # fmt: skip
    return StoredMessage(
        id=id_,
        mail_id=mail_id,
        message=Message(
            phone=phone,
            channel=channel,
            sender=sender,
            text=text,
            translit=translit,
            alphabet=_ALPHABETS[alphabet],
            parts=composed_parts,
            flash=bool(flash),
            time=time,
            valid=valid,
            wanted_id=wanted_id,
            rule=rule,
            profile=profile,
            notes=() if notes is None else tuple(json.loads(notes)),
        ),
        recipient=recipient,
        notify=None if notify is None else read_notify(notify),
        orcpt=orcpt,
        state=_STATES[state],
        attempts=attempts,
        gateway=gateway,
        gateway_id=gateway_id,
        attempted_at=None if attempted_at is None else from_us(attempted_at),
        unknown_since=None if unknown_since is None else from_us(unknown_since),
        asked=asked,
        parts=parts,
        price=None if price is None else Decimal(price),
        currency=currency,
        error=None if error_code is None else _error(error_code, error_text, error_class),
        created_at=from_us(created_at),
        updated_at=from_us(updated_at),
        next_attempt_at=None if next_attempt_at is None else from_us(next_attempt_at),
        expires_at=from_us(expires_at),
    )


def read_notify(text: str | None) -> frozenset[str] | None:
    """Return NOTIFY words as a set; None where the parameter was not given."""
    return None if text is None else frozenset(text.split())


def _error(code: str, text: str, error_class: str) -> SmsError:
    return SmsError(code=code, text=text, error_class=_ERROR_CLASSES[error_class])


# ----------------------------------------------------------------------------------------------- standing
#: the columns that a change may alter, as ``read_standing`` takes them
STANDING = (
    _m.state, _m.attempts, _m.gateway_id, _m.unknown_since, _m.asked, _m.parts, _m.price, _m.currency, _m.error_code,
    _m.error_text, _m.error_class, _m.updated_at, _m.next_attempt_at, _m.expires_at,
)  # fmt: skip


def read_standing(row: Sequence[Any]) -> rules.Standing:
    """Return the columns ``STANDING`` of a row as a value."""
    (
        state, attempts, gateway_id, unknown_since, asked, parts, price, currency, error_code, error_text,
        error_class, updated_at, next_attempt_at, expires_at,
    ) = row  # fmt: skip
    return rules.Standing(
        state=_STATES[state],
        attempts=attempts,
        gateway_id=gateway_id,
        unknown_since=None if unknown_since is None else from_us(unknown_since),
        asked=asked,
        parts=parts,
        price=None if price is None else Decimal(price),
        currency=currency,
        error=None if error_code is None else _error(error_code, error_text, error_class),
        updated_at=from_us(updated_at),
        next_attempt_at=None if next_attempt_at is None else from_us(next_attempt_at),
        expires_at=from_us(expires_at),
    )


def standing_values(standing: rules.Standing) -> Values:
    """Return the columns of *standing*."""
    error = standing.error
    return {
        "state": standing.state.value,
        "attempts": standing.attempts,
        "gateway_id": standing.gateway_id,
        "unknown_since": to_us_or_none(standing.unknown_since),
        "asked": standing.asked,
        "parts": standing.parts,
        "price": None if standing.price is None else str(standing.price),
        "currency": standing.currency,
        "error_code": None if error is None else error.code,
        "error_text": None if error is None else error.text,
        "error_class": None if error is None else error.error_class.value,
        "updated_at": to_us(standing.updated_at),
        "next_attempt_at": to_us_or_none(standing.next_attempt_at),
        "expires_at": to_us(standing.expires_at),
    }

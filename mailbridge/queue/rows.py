"""Between the queue's values and its rows; both directions stand side by side. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from mailbridge.model.message import Alphabet, Message
from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.phone import Phone
from mailbridge.model.state import FINAL, State
from mailbridge.queue import rules
from mailbridge.queue.contract import Detail, NewMail, NewMessage, Report, StoredMail, StoredMessage

Values = dict[str, Any]

#: built once: json.dumps would make one for each call that is not its default
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Return *at* as microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND


def to_us_or_none(at: datetime | None) -> int | None:
    """Return *at* as microseconds since 1970 UTC, None as None."""
    return None if at is None else to_us(at)


def from_us(us: int) -> datetime:
    """Return microseconds since 1970 UTC as aware UTC."""
    return _EPOCH + timedelta(microseconds=us)


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
        "next_attempt_at": None if new.state in FINAL else to_us(new.next_attempt_at),
        "expires_at": to_us(new.expires_at),
    }


def read_message(row: Row[Any]) -> StoredMessage:
    """Return a row of ``messages`` as a value."""
    return StoredMessage(
        id=row.id,
        mail_id=row.mail_id,
        message=_read_composed(row),
        recipient=row.recipient,
        notify=read_notify(row.notify),
        orcpt=row.orcpt,
        state=State(row.state),
        attempts=row.attempts,
        gateway=row.gateway,
        gateway_id=row.gateway_id,
        attempted_at=from_us_or_none(row.attempted_at),
        unknown_since=from_us_or_none(row.unknown_since),
        asked=row.asked,
        parts=row.parts,
        price=None if row.price is None else Decimal(row.price),
        currency=row.currency,
        error=_read_error(row),
        created_at=from_us(row.created_at),
        updated_at=from_us(row.updated_at),
        next_attempt_at=from_us_or_none(row.next_attempt_at),
        expires_at=from_us(row.expires_at),
    )


def _read_composed(row: Row[Any]) -> Message:
    return Message(
        phone=Phone(row.phone),
        channel=row.channel,
        sender=row.sender,
        text=row.text,
        translit=row.translit,
        alphabet=Alphabet(row.alphabet),
        parts=row.composed_parts,
        flash=bool(row.flash),
        time=row.time,
        valid=row.valid,
        wanted_id=row.wanted_id,
        rule=row.rule,
        profile=row.profile,
        notes=() if row.notes is None else tuple(json.loads(row.notes)),
    )


def read_notify(text: str | None) -> frozenset[str] | None:
    """Return NOTIFY words as a set; None where the parameter was not given."""
    return None if text is None else frozenset(text.split())


def _read_error(row: Row[Any]) -> SmsError | None:
    if row.error_code is None:
        return None
    return SmsError(code=row.error_code, text=row.error_text, error_class=ErrorClass(row.error_class))


# ----------------------------------------------------------------------------------------------- standing
def read_standing(row: Row[Any]) -> rules.Standing:
    """Return the part of a row of ``messages`` that a change may alter."""
    return rules.Standing(
        state=State(row.state),
        attempts=row.attempts,
        gateway_id=row.gateway_id,
        unknown_since=from_us_or_none(row.unknown_since),
        asked=row.asked,
        parts=row.parts,
        price=None if row.price is None else Decimal(row.price),
        currency=row.currency,
        error=_read_error(row),
        updated_at=from_us(row.updated_at),
        next_attempt_at=from_us_or_none(row.next_attempt_at),
        expires_at=from_us(row.expires_at),
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

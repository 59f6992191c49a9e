"""What the in-memory twin keeps of a new mail, and what a search finds; beside ``memory.py``. Pure."""

from __future__ import annotations

import re
from dataclasses import fields

from mailbridge.model.state import FINAL
from mailbridge.queue.contract import Filter, NewMail, NewMessage, StoredMail, StoredMessage


def matches(row: StoredMessage, mail: StoredMail, wanted: Filter) -> bool:
    """Tell whether a search finds *row*, which belongs to *mail*."""
    return (
        (wanted.states is None or row.state in wanted.states)
        and (wanted.phone is None or row.message.phone == wanted.phone)
        and (wanted.since is None or row.created_at >= wanted.since)
        and (wanted.until is None or row.created_at < wanted.until)
        and (wanted.sender is None or any(_glob(wanted.sender, s) for s in (mail.sender, row.message.sender)))
        and (
            wanted.text is None or any(wanted.text.casefold() in s.casefold() for s in (row.message.text, mail.subject))
        )
    )


def _glob(pattern: str, text: str) -> bool:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern.casefold())
    return re.fullmatch("".join(parts), text.casefold(), re.DOTALL) is not None


def stored_mail(mail: NewMail) -> StoredMail:
    """Return *mail* as it stands in the queue."""
    return StoredMail(**{f.name: getattr(mail, f.name) for f in fields(StoredMail)})


def stored_message(mail: NewMail, new: NewMessage) -> StoredMessage:
    """Return *new* as it stands right after ``put``."""
    return StoredMessage(
        id=new.id,
        mail_id=mail.id,
        message=new.message,
        recipient=new.recipient,
        notify=new.notify,
        orcpt=new.orcpt,
        state=new.state,
        attempts=0,
        gateway=None,
        gateway_id=None,
        attempted_at=None,
        unknown_since=None,
        asked=0,
        parts=new.message.parts,
        price=None,
        currency=None,
        error=None,
        created_at=mail.received_at,
        updated_at=mail.received_at,
        next_attempt_at=None if new.waits or new.state in FINAL else new.next_attempt_at,
        expires_at=new.expires_at,
    )

"""Forgetting what is old and done with. Children go first: no engine's cascade is relied upon."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, exists, select

from mailbridge.model.state import FINAL, State
from mailbridge.queue.rows import from_us_or_none, to_us
from mailbridge.queue.statements import counters, escalations, inbox
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import (
    LOOKED_AT,
    UNREPORTED,
    attempts,
    charges,
    dedupe,
    escalated,
    history,
    mails,
    messages,
    report_items,
    waits,
)
from mailbridge.queue.tables import escalations as chains

_open = exists().where(
    messages.c.mail_id == mails.c.id,
    messages.c.state.not_in(sorted(s.value for s in FINAL)),
    ~and_(messages.c.state == State.SENT.value, messages.c.updated_at < bindparam("sent_before")),
)
_unreported = exists().where(report_items.c.mail_id == mails.c.id, UNREPORTED)
#: the text of its next step stands there
_escalating = exists().where(
    messages.c.mail_id == mails.c.id, escalated.c.message_id == messages.c.id, chains.c.id == escalated.c.escalation_id,
    LOOKED_AT,
)  # fmt: skip
old_mails = (
    select(mails.c.id)
    .where(mails.c.received_at < bindparam("before"), ~_open, ~_unreported, ~_escalating)
    .order_by(mails.c.received_at, mails.c.id)
    .limit(bindparam("count"))
)
_messages_of = select(messages.c.id).where(messages.c.mail_id.in_(bindparam("ids", expanding=True)))
_OF_MESSAGES = (history, attempts, dedupe, report_items, charges, waits)
_steps = (
    *(delete(table).where(table.c.message_id.in_(_messages_of)) for table in _OF_MESSAGES),
    delete(messages).where(messages.c.mail_id.in_(bindparam("ids", expanding=True))),
    delete(mails).where(mails.c.id.in_(bindparam("ids", expanding=True))),
)


nth_newest = select(mails.c.received_at).order_by(mails.c.received_at.desc()).offset(bindparam("skip")).limit(1)


def nth_newest_at(conn: Connection, *, n: int) -> datetime | None:
    """Return when the *n*-th newest mail (from 1) came in."""
    return from_us_or_none(conn.execute(nth_newest, {"skip": n - 1}).scalar_one_or_none())


def prune(conn: Connection, *, before: datetime, sent_before: datetime, limit: int) -> int:
    """Delete mails received before *before* of which nothing more is expected; return how many."""
    asked = {"before": to_us(before), "sent_before": to_us(sent_before), "count": limit}
    ids = conn.execute(old_mails, asked).scalars().all()
    for some in chunked(ids):
        for step in _steps:
            conn.execute(step, {"ids": some})
    counters.forget(conn, before=before)
    escalations.forget(conn, before=before)
    inbox.forget(conn, before=before)
    return len(ids)

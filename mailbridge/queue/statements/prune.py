"""Forgetting what is old and done with. Children go first: no engine's cascade is relied upon."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, exists, select

from mailbridge.model.state import FINAL
from mailbridge.queue.rows import to_us
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import UNREPORTED, attempts, dedupe, history, mails, messages, report_items

_open = exists().where(messages.c.mail_id == mails.c.id, messages.c.state.not_in(sorted(s.value for s in FINAL)))
_unreported = exists().where(report_items.c.mail_id == mails.c.id, UNREPORTED)
old_mails = (
    select(mails.c.id)
    .where(mails.c.received_at < bindparam("before"), ~_open, ~_unreported)
    .order_by(mails.c.received_at, mails.c.id)
    .limit(bindparam("count"))
)
_messages_of = select(messages.c.id).where(messages.c.mail_id.in_(bindparam("ids", expanding=True)))
_steps = (
    *(delete(table).where(table.c.message_id.in_(_messages_of)) for table in (history, attempts, dedupe, report_items)),
    delete(messages).where(messages.c.mail_id.in_(bindparam("ids", expanding=True))),
    delete(mails).where(mails.c.id.in_(bindparam("ids", expanding=True))),
)


def prune(conn: Connection, *, before: datetime, limit: int) -> int:
    """Delete mails received before *before* whose messages are all final and reported; return how many."""
    ids = conn.execute(old_mails, {"before": to_us(before), "count": limit}).scalars().all()
    for some in chunked(ids):
        for step in _steps:
            conn.execute(step, {"ids": some})
    return len(ids)

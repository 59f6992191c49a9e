"""What to do with rows from the future: the wall clock was set back since they were written."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, select, update

from mailbridge.model.state import FINAL, State
from mailbridge.queue.rows import MESSAGE, read_message, to_us, to_us_or_none
from mailbridge.queue.rules import turn_back
from mailbridge.queue.tables import mails, messages, outgoing

_touched_later = (
    select(*MESSAGE)
    .where(
        messages.c.state.in_(sorted(state.value for state in set(State) - FINAL)),
        messages.c.updated_at > bindparam("now"),
    )
    .with_for_update()
)
_write_row = update(messages).where(messages.c.id == bindparam("row_id"))


def clock_set_back(conn: Connection, *, now: datetime, slack: timedelta) -> int:
    """Make due at *now* what was last touched after it, *slack* aside; return how many messages that were."""
    now_us, later_us = to_us(now), to_us(now + slack)
    conn.execute(update(mails).where(mails.c.received_at > later_us).values(hold_reports_until=None))
    conn.execute(update(outgoing).where(outgoing.c.next_attempt_at > now_us).values(next_attempt_at=now_us))
    rows = [turn_back(read_message(row), now) for row in conn.execute(_touched_later, {"now": later_us})]
    if rows:
        conn.execute(
            _write_row,
            [
                {
                    "row_id": row.id,
                    "updated_at": now_us,
                    "next_attempt_at": to_us_or_none(row.next_attempt_at),
                    "unknown_since": to_us_or_none(row.unknown_since),
                    "expires_at": to_us(row.expires_at),
                }
                for row in rows
            ],
        )
    return len(rows)

"""What was last read of each rota's calendar."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from mailbridge.queue.kept import KeptCalendar
from mailbridge.queue.rows import from_us, to_us
from mailbridge.queue.tables import calendars as table


def read_calendars(conn: Connection) -> Sequence[KeptCalendar]:
    """Return what was last read of each calendar."""
    return [
        KeptCalendar(rota=row.rota, source=row.source, shifts=row.shifts, read_at=from_us(row.read_at))
        for row in conn.execute(select(table).order_by(table.c.rota))
    ]


def keep_calendar(conn: Connection, calendar: KeptCalendar) -> None:
    """Keep what was read of a calendar in place of what was read before."""
    values = {"source": calendar.source, "shifts": calendar.shifts, "read_at": to_us(calendar.read_at)}
    if not conn.execute(update(table).where(table.c.rota == calendar.rota), values).rowcount:
        conn.execute(insert(table), {"rota": calendar.rota, **values})

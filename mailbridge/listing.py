"""Lists of messages: how a person writes what is looked for, and messages as CSV. Pure.

Shared by ``queue list`` and ``queue export``, the API and the desk.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from mailbridge.admin import message_json
from mailbridge.config.units import parse_duration
from mailbridge.queue.contract import StoredMessage

FIELDS = (
    "id", "mail", "phone", "channel", "sender", "text", "parts", "alphabet", "state", "attempts", "gateway",
    "gateway_id", "price", "currency", "error", "rule", "profile", "created_at", "updated_at",
)  # fmt: skip


def parse_moment(text: str, now: datetime) -> datetime:
    """Read ``2026-01-05``, ``2026-01-05T09:00Z``, or ``2h`` for two hours before *now*.

    A time without a zone is in the process's own. Raises: ValueError with words for a person.
    """
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise ValueError("write a time such as 2026-01-05T09:00Z, a day, or an age such as 2h") from None


def error_words(row: StoredMessage) -> str:
    """Return a message's last error in words; empty where there is none."""
    return "" if row.error is None else f"{row.error.code} {row.error.text}"


def detail_words(detail: Mapping[str, object]) -> Iterator[str]:
    """Say a history entry's detail for people; what is empty says nothing, what is nested stands in brackets."""
    for key, value in detail.items():
        if isinstance(value, Mapping):
            yield f"{key} ({', '.join(detail_words(value))})"
        elif isinstance(value, list):
            if value:
                yield f"{key} {'; '.join(map(str, value))}"
        elif value not in {None, ""}:
            yield f"{key.replace('_', ' ')} {value}"


def csv_lines(rows: Iterable[StoredMessage]) -> Iterator[str]:
    """Yield *rows* as lines of CSV (RFC 4180), with a line of names first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def line(cells: Iterable[object]) -> str:
        writer.writerow(cells)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line(FIELDS)
    for row in rows:
        shape = {**message_json(row), "error": error_words(row)}
        yield line(_cell(shape[name]) for name in FIELDS)


def _cell(value: object) -> object:
    """Keep a spreadsheet from reading an outsider's text as a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) and not value[1:].isdigit():
        return "'" + value
    return value

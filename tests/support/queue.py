"""Mails, plans and changes for tests of the queue, with everything that does not matter filled in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from mailbridge.model.outcome import ErrorClass, SmsError
from mailbridge.model.state import State
from mailbridge.queue.contract import (
    Assignment,
    Change,
    Claimed,
    DedupeKey,
    NewMail,
    NewMessage,
    Report,
    Store,
    StoredMessage,
)
from mailbridge.queue.tables import metadata
from tests.support.clock import START as NOW
from tests.support.sms import message

#: the tables of revision 0001
_FIRST_TABLES = {
    "mails", "messages", "history", "attempts", "dedupe", "report_items", "outgoing", "gateway_states", "sequences",
    "meta",
}  # fmt: skip
#: makes a queue one of revision 0001, as long as later ones only add tables and indexes
BACK_TO_THE_FIRST = ";".join(
    [
        *(f"DROP TABLE {table.name}" for table in reversed(metadata.sorted_tables) if table.name not in _FIRST_TABLES),
        "DROP INDEX messages_rare",
        "DELETE FROM meta WHERE name = 'works_with'",
        "UPDATE alembic_version SET version_num = '0001'",
    ]
)

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MAIN = frozenset({"main"})
ERROR = SmsError(code="7", text="invalid number", error_class=ErrorClass.REFUSED)


def new_message(id_: str, **fields: Any) -> NewMessage:
    """Build a queued message, due now; *phone* and *text* are those of the SMS, *key* a dedupe key for a day."""
    sms = message(fields.pop("text", "Hello"), fields.pop("phone", "+79990000001"), **fields.pop("sms", {}))
    keys = (DedupeKey(key=fields.pop("key"), until=NOW + DAY),) if "key" in fields else ()
    defaults = {
        "message": sms,
        "recipient": f"{sms.phone}@sms.local",
        "next_attempt_at": NOW,
        "expires_at": NOW + DAY,
        "dedupe": keys,
    }
    return NewMessage(id=id_, **(defaults | fields))


def new_mail(id_: str, *messages: NewMessage, **fields: Any) -> NewMail:
    """Build a mail with *messages*, or with one plain message ``<id>.1``."""
    defaults = {
        "received_at": NOW,
        "sender": "nagios@example.org",
        "client": "127.0.0.1",
        "user": None,
        "message_id": f"<{id_}@example.org>",
        "subject": "Subject",
        "envid": None,
        "ret": None,
        "reportable": True,
        "original": b"Subject: Subject\r\n\r\n",
        "size_bytes": 20,
    }
    return NewMail(id=id_, messages=messages or (new_message(f"{id_}.1"),), **(defaults | fields))


def alone(rows: Sequence[StoredMessage], next_id: Callable[[], int]) -> list[Assignment]:
    """Plan: each row in its own request through ``main``, under its wanted id or a fresh one."""
    return [
        Assignment(gateway="main", gateway_id=row.message.wanted_id or str(next_id()), message_ids=(row.id,))
        for row in rows
    ]


def together(rows: Sequence[StoredMessage], next_id: Callable[[], int]) -> list[Assignment]:
    """Plan: all rows in one request through ``main``."""
    return [Assignment(gateway="main", gateway_id=str(next_id()), message_ids=tuple(row.id for row in rows))]


async def claim(
    store: Store, now: datetime = NOW, *, limit: int = 100, plan: Any = alone, node: str = "n1"
) -> Sequence[Claimed]:
    """Claim as *node* for ``main``."""
    return await store.claim(now=now, limit=limit, node=node, gateways=MAIN, plan=plan)


def change(id_: str, expect: State, to: State, **fields: Any) -> Change:
    """Build a change of *id_* from *expect* to *to*, its event named after the new state."""
    return Change(message_id=id_, expect=frozenset({expect}), to=to, **({"at": NOW, "event": to.value} | fields))


def failed(id_: str, expect: State = State.SENDING, **fields: Any) -> Change:
    """Build a refusal that is to be reported."""
    told = {"error": ERROR, "report": Report.FAILED, "report_status": "5.1.3", "report_diagnostic": "x-smsc; 7"}
    return change(id_, expect, State.FAILED, **(told | fields))


async def one(store: Store, id_: str) -> StoredMessage:
    """Return the message *id_*."""
    (row,) = await store.get_messages(id_)
    return row

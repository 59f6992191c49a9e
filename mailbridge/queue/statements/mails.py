"""Keeping mails: the hot path of the door. Four inserts and one look-up for any number of mails, nothing else.

Where clients, users or senders are limited, two statements more: their counters are read, locked, and written.
Where somebody has to answer, four: a lock, the numbers that are taken, and the escalations with their messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select

from mailbridge.queue.contract import NewMail, PutResult
from mailbridge.queue.rows import Values, dump_detail, from_us, mail_values, message_values, to_us
from mailbridge.queue.rules import KeyOwner, Sifted, count_in, find_owner, sift
from mailbridge.queue.statements import counters
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.statements.escalations import Opening
from mailbridge.queue.statements.gathered import Gathered
from mailbridge.queue.tables import dedupe, history, mails, messages

_find_keys = select(dedupe.c.key, dedupe.c.message_id, dedupe.c.until).where(
    dedupe.c.key.in_(bindparam("keys", expanding=True))
)
_forget_key = Bulk(delete(dedupe).where(dedupe.c.key == bindparam("old_key")))
_add_mails = Bulk(insert(mails))
_add_messages = Bulk(insert(messages))
_add_history = Bulk(insert(history))
_add_keys = Bulk(insert(dedupe))
_NONE: frozenset[str] = frozenset()


def put_mails(conn: Connection, new_mails: Sequence[NewMail]) -> list[PutResult]:
    """Keep *new_mails*, finding duplicates among what is stored and among themselves, in their order."""
    stored = _read_owners(conn, new_mails)
    owners = dict(stored)
    gathered = Gathered(conn, new_mails) if any(new.gather for mail in new_mails for new in mail.messages) else None
    opening = Opening(conn, new_mails) if any(new.escalate for mail in new_mails for new in mail.messages) else None
    kept: list[tuple[NewMail, Sifted]] = []
    results = []
    names = {one.key for mail in new_mails for one in mail.allowances}
    known = counters.lock(conn, names) if names else {}
    counted: dict[str, str] = {}
    for mail in new_mails:
        sifted = sift(mail, owners)
        full: Mapping[str, datetime] = {}
        if mail.allowances and sifted.messages:
            over, after, full = count_in(mail, sifted, known | counted)
            counted |= after
            if over is not None:
                results.append(PutResult(mail_id=mail.id, duplicates={}, over=over, full=full))
                continue
        owners |= sifted.keys
        waiting = _NONE
        if gathered is not None:
            sifted = replace(sifted, messages=gathered.arrive(mail, sifted.messages))
            waiting = sifted.waiting
        if opening is not None:
            sifted = replace(sifted, messages=opening.begin(mail, sifted.messages))
        results.append(PutResult(mail_id=mail.id, duplicates=sifted.duplicates, full=full, waiting=waiting))
        if sifted.messages:
            kept.append((mail, sifted))
    if kept:
        _insert(conn, kept)
        _insert_keys(conn, kept, stored)
    if counted:
        counters.write(conn, counted, max(mail.received_at for mail in new_mails))
    if gathered is not None:
        gathered.write()
    if opening is not None:
        opening.write()
    return results


def owner_of(conn: Connection, *, keys: Sequence[str], now: datetime) -> str | None:
    """Return the id of the message that a mail with one of *keys* would repeat."""
    return find_owner(keys, _owners_of(conn, keys), now)


def _read_owners(conn: Connection, new_mails: Sequence[NewMail]) -> dict[str, KeyOwner]:
    return _owners_of(conn, list({key.key for mail in new_mails for new in mail.messages for key in new.dedupe}))


def _owners_of(conn: Connection, keys: Sequence[str]) -> dict[str, KeyOwner]:
    rows = [row for some in chunked(keys) for row in conn.execute(_find_keys, {"keys": some}).all()]
    return {key: KeyOwner(message_id, from_us(until)) for key, message_id, until in rows}


def _insert(conn: Connection, kept: Sequence[tuple[NewMail, Sifted]]) -> None:
    message_rows: list[Values] = []
    history_rows: list[Values] = []
    for mail, sifted in kept:
        at_us = to_us(mail.received_at)
        for number, new in enumerate(sifted.messages, start=1):
            message_rows.append(message_values(mail, new, number))
            history_rows.append(
                {
                    "message_id": new.id,
                    "at": at_us,
                    "event": new.state.value,
                    "state": new.state.value,
                    "detail": dump_detail(new.detail),
                }
            )
    _add_mails.run(conn, [mail_values(mail) for mail, _ in kept])
    _add_messages.run(conn, message_rows)
    _add_history.run(conn, history_rows)


def _insert_keys(conn: Connection, kept: Sequence[tuple[NewMail, Sifted]], stored: dict[str, KeyOwner]) -> None:
    taken = {key: owner for _, sifted in kept for key, owner in sifted.keys.items()}
    if replaced := [{"old_key": key} for key in taken if key in stored]:
        _forget_key.run(conn, replaced)
    if taken:
        rows = [{"key": k, "message_id": owner.message_id, "until": to_us(owner.until)} for k, owner in taken.items()]
        _add_keys.run(conn, rows)

"""Carrying out decided moves: read where the rows are, decide by ``rules.py``, write what changed, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, text, update

from mailbridge.model.state import UNSUCCESSFUL
from mailbridge.queue.contract import Change, Report
from mailbridge.queue.rows import STANDING, Values, dump_detail, read_notify, read_standing, standing_values, to_us
from mailbridge.queue.rules import Standing, applies, describe, is_report_kept, move, takes_back
from mailbridge.queue.statements.bulk import Bulk
from mailbridge.queue.statements.charging import settle
from mailbridge.queue.statements.chunks import chunked
from mailbridge.queue.tables import UNREPORTED, charges, dedupe, history, mails, messages, report_items

_m = messages.c
_standing_of = (
    select(
        _m.id,
        _m.mail_id,
        _m.notify,
        mails.c.reportable,
        charges.c.counters.label("charged"),
        *STANDING,
    )
    .join(mails, mails.c.id == _m.mail_id)
    .outerjoin(charges, charges.c.message_id == _m.id)
    .where(_m.id.in_(bindparam("ids", expanding=True)))
    .order_by(_m.id)  # all nodes lock rows in the same order
    .with_for_update(of=messages)
)
_write_row = Bulk(update(messages).where(_m.id == bindparam("row_id")))
_forget_keys = Bulk(delete(dedupe).where(dedupe.c.message_id == bindparam("owner")))
_add_history = Bulk(insert(history))
_add_items = Bulk(insert(report_items))
_told = select(report_items.c.message_id, report_items.c.action).where(
    report_items.c.message_id.in_(bindparam("ids", expanding=True))
)
_take_back = delete(report_items).where(
    report_items.c.message_id == bindparam("failed_id"), report_items.c.action == Report.FAILED.value, UNREPORTED
)


#: an attempt is found by the id the gateway gave it, too; one that has that id already keeps it
_add_name = text(
    "INSERT INTO attempts (message_id, number, gateway, gateway_id, phone, intent_at)"
    " SELECT message_id, number, gateway, :name, phone, intent_at FROM attempts"
    " WHERE message_id = :owner AND gateway_id = :known ON CONFLICT DO NOTHING"
)


def apply(conn: Connection, changes: Sequence[Change]) -> list[bool]:
    """Carry out *changes* in their order; tell for each whether it applied."""
    ids = list({change.message_id for change in changes})
    rows = {row.id: row for some in chunked(ids) for row in conn.execute(_standing_of, {"ids": some}).all()}
    standings = {id_: read_standing(row[-len(STANDING) :]) for id_, row in rows.items()}
    charged = {id_: row.charged for id_, row in rows.items() if row.charged is not None}
    steps: list[tuple[str, Standing, Standing]] = []
    results, applied, recovered, names = [], [], [], []
    for change in changes:
        standing = standings.get(change.message_id)
        legal = standing is not None and applies(standing, change)
        results.append(legal)
        if standing is not None and legal:
            standings[change.message_id] = moved = move(standing, change)
            if moved.gateway_id != standing.gateway_id:
                names.append({"owner": change.message_id, "known": standing.gateway_id, "name": moved.gateway_id})
            if change.message_id in charged:
                steps.append((change.message_id, standing, moved))
            applied.append(change)
            recovered.append(takes_back(standing.state, change.to))
    if applied:
        _write(conn, applied, standings)
        _report(conn, applied, recovered, rows)
        if names:
            conn.execute(_add_name, names)
        if steps:
            settle(conn, steps, charged, now=max(change.at for change in applied))
    return results


def _write(conn: Connection, applied: Sequence[Change], standings: dict[str, Standing]) -> None:
    touched = {change.message_id for change in applied}
    _write_row.run(conn, [{"row_id": id_, **standing_values(standings[id_])} for id_ in touched])
    if lines := [_history_values(change) for change in applied if change.event]:
        _add_history.run(conn, lines)
    if lost := {change.message_id for change in applied if change.to in UNSUCCESSFUL}:
        _forget_keys.run(conn, [{"owner": id_} for id_ in lost])


def _history_values(change: Change) -> Values:
    return {
        "message_id": change.message_id,
        "at": to_us(change.at),
        "event": change.event,
        "state": change.to.value,
        "detail": dump_detail(describe(change)),
    }


def _report(conn: Connection, applied: Sequence[Change], recovered: Sequence[bool], rows: dict[str, Row[Any]]) -> None:
    """Note what senders are to be told, each thing once, and take back failures that are none any more."""
    if back := {change.message_id for change, is_back in zip(applied, recovered, strict=True) if is_back}:
        conn.execute(_take_back, [{"failed_id": id_} for id_ in back])
    wanted: dict[tuple[str, str], Values] = {}
    for change, is_back in zip(applied, recovered, strict=True):
        row = rows[change.message_id]
        if is_back:
            wanted.pop((row.id, Report.FAILED.value), None)
        if change.report is None or not is_report_kept(
            change.report, reportable=bool(row.reportable), notify=read_notify(row.notify)
        ):
            continue
        wanted.setdefault((row.id, change.report.value), _item_values(change, change.report, row.mail_id))
    if not wanted:
        return
    ids = list({id_ for id_, _ in wanted})
    told = {(row.message_id, row.action) for some in chunked(ids) for row in conn.execute(_told, {"ids": some})}
    if items := [item for key, item in wanted.items() if key not in told]:
        _add_items.run(conn, items)
    if warned := [{"row_id": id_, "warnable": 0} for id_, action in wanted if action == Report.DELAYED.value]:
        _write_row.run(conn, warned)


def _item_values(change: Change, report: Report, mail_id: str) -> Values:
    return {
        "mail_id": mail_id,
        "message_id": change.message_id,
        "action": report.value,
        "status": change.report_status,
        "diagnostic": change.report_diagnostic,
        "at": to_us(change.at),
    }

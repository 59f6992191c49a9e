"""send.php's answers to what was priced or accepted (smsc-api.md sections 2.3 and 2.4). Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from mailbridge.simulator.answers import Answer, id_value, money, short_money
from mailbridge.simulator.calls import Call
from mailbridge.simulator.phones import operator_of
from mailbridge.simulator.ruling import Ruled
from mailbridge.simulator.submission import Submission


def _phones(submission: Submission, ruled: Sequence[Ruled], price: Decimal) -> list[dict[str, str]]:
    """Return ``phones[]``: all numbers for op=1, else those err=1 tells of."""
    rows: list[dict[str, str]] = []
    for one in ruled:
        if one.refusal is None and not submission.op:
            continue
        row = {"phone": one.item.number.digits, "mccmnc": operator_of(one.item.number.digits).mccmnc}
        if price:
            row["cost"] = "0" if one.refusal is not None else short_money(price * one.item.text.parts)
        if one.refusal is not None:
            row |= {"status": str(one.refusal), "error": str(one.err)}
            if one.refusal == 22:
                row["mccmnc"] = ""
        rows.append(row)
    return rows


def _with_phones(
    data: dict[str, Any], submission: Submission, ruled: Sequence[Ruled], price: Decimal
) -> dict[str, Any]:
    """Return *data* with ``phones`` where they were asked for."""
    if (submission.op or submission.err) and (rows := _phones(submission, ruled, price)):
        data["phones"] = rows
    return data


def priced(submission: Submission, ruled: Sequence[Ruled], price: Decimal, parts: int) -> Answer:
    """Return the answer to cost=1."""
    cost = price * parts
    return Answer(
        text=f"{money(cost)} ({parts} SMS)",
        rows=[(money(cost), parts)],
        data=_with_phones({"cost": short_money(cost), "cnt": parts}, submission, ruled, price),
    )


def accepted(
    call: Call, *, submission: Submission, ruled: Sequence[Ruled], price: Decimal, parts: int, message_id: str
) -> Answer:
    """Return the answer to an accepted request."""
    cost, balance = price * parts, call.account.balance
    text = f"OK - {parts} SMS, ID - {message_id}"
    row: list[object] = [id_value(message_id), parts]
    data: dict[str, Any] = {"id": id_value(message_id), "cnt": parts}
    if submission.cost >= 2:
        text += f", COST - {money(cost)}"
        row.append(money(cost))
        data["cost"] = short_money(cost)
    if submission.cost == 3:
        text += f", BALANCE - {money(balance)}"
        row.append(money(balance))
        data["balance"] = short_money(balance)
    if submission.wants_code:
        code = f"{call.random.randrange(1_000_000):06}"
        row.append(code)
        data["code"] = code
    return Answer(text=text, rows=[row], data=_with_phones(data, submission, ruled, price))

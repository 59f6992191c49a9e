"""documents.php: invoices and acts (smsc-api.md section 8.10). Their shape is chosen here."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from mailbridge.simulator.answers import Answer, created, failure, listing, money
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.statuses import local_date


def answer(call: Call) -> Reply:
    """Answer one request of documents.php."""
    params = call.params
    if params.flag("add_account"):
        return Reply(answer=_add(call))
    if params.flag("get_account"):
        return Reply(answer=_get(call, params.text("id").strip()))
    if params.flag("get_act"):
        return Reply(answer=_get(call, params.text("num").strip()))
    return Reply(answer=failure(1))


def _add(call: Call) -> Answer:
    try:
        amount = Decimal(call.params.text("sum").strip())
    except InvalidOperation:
        return failure(1)
    if not amount.is_finite() or not 0 < amount < 10**9:
        return failure(1)
    record = call.book.documents.add(
        sum=money(amount), date=local_date(call.now), service=call.params.text("service"), user=call.params.text("user")
    )
    return created(record["id"])


def _get(call: Call, number: str) -> Answer:
    """Return one document, or all; an act stands for each invoice under its number."""
    found = call.book.documents.get(number) if number else None
    if number:
        return listing([found] if found else [])
    return listing(list(call.book.documents))

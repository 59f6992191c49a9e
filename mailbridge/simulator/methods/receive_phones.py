"""receive_phones.php: numbers that receive SMS (smsc-api.md section 8.10)."""

from __future__ import annotations

from mailbridge.simulator.answers import NOTHING_FOUND, failure, listing, ok
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.phones import parse_number


def answer(call: Call) -> Reply:
    """Answer one request of receive_phones.php. Renting costs nothing here."""
    params, shelf = call.params, call.book.numbers
    if params.flag("get"):
        return Reply(answer=listing(list(shelf)))
    wanted = params.text("phone").strip()
    if params.flag("buy"):
        number = parse_number(wanted) if wanted else parse_number(f"+7903{call.random.randrange(10**7):07}")
        if not number.good or shelf.find(phone=number.digits) is not None:
            return Reply(answer=failure(5, "operation failed"))
        shelf.add(phone=number.digits, noprolong=0)
        return Reply(answer=ok())
    record = shelf.find(phone=parse_number(wanted).digits)
    if not params.flag("chg"):
        return Reply(answer=failure(1))
    if record is None:
        return Reply(answer=failure(3, NOTHING_FOUND))
    record["noprolong"] = int(params.flag("noprolong"))
    return Reply(answer=ok())

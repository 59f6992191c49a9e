"""senders.php: names to send under (smsc-api.md section 8.5). A name asked for is approved at once."""

from __future__ import annotations

import re

from mailbridge.simulator.answers import NOTHING_FOUND, TOO_OFTEN, Answer, created, failure, listing, ok
from mailbridge.simulator.calls import Call, Reply, sender_names
from mailbridge.simulator.methods import send
from mailbridge.simulator.phones import parse_number

_NAME = re.compile(r"\+?\d{1,15}|[A-Za-z0-9 ._\-&!+]{1,11}|[^@\s]{1,64}@[^@\s]{1,255}", re.ASCII)
_KEPT = ("cmt", "fio", "inn", "site", "email", "address", "desc", "subj", "user")
_NOT_SAVED = "saving failed"


def answer(call: Call) -> Reply:
    """Answer one request of senders.php."""
    params = call.params
    if params.flag("get"):
        return Reply(answer=_get(call))
    if params.flag("send_code"):
        return _send_code(call)
    name = params.text("sender").strip() or params.text("mail").strip()
    if not _NAME.fullmatch(name):
        return Reply(answer=failure(1))
    if params.flag("check_code"):
        return Reply(answer=_check_code(call, name))
    if params.flag("add"):
        if call.book.senders.find(sender=name) is not None:
            return Reply(answer=failure(5, _NOT_SAVED))
        return Reply(answer=created(_keep(call, name)))
    return Reply(answer=_change(call, name))


def _get(call: Call) -> Answer:
    if not call.rates.senders.take((call.account.login, "senders", repr(sorted(_asked(call)))), call.tick):
        return failure(9, TOO_OFTEN)
    items = []
    for name in sender_names(call):
        record = call.book.senders.find(sender=name) or {}
        items.append({"id": record.get("id", 0), "sender": name, "status": 1, "cmt": record.get("cmt", "")})
    return listing(items)


def _asked(call: Call) -> list[tuple[str, str]]:
    return [(name, call.params.text(name)) for name in ("all", "operators", "from_date", "prev_id", "cnt")]


def _keep(call: Call, name: str) -> object:
    kept = {field: call.params.text(field) for field in _KEPT if call.params.text(field)}
    return call.book.senders.add(sender=name, **kept)["id"]


def _change(call: Call, name: str) -> Answer:
    record = call.book.senders.find(sender=name)
    if not (call.params.flag("chg") or call.params.flag("del")):
        return failure(1)
    if record is None:
        return failure(3, NOTHING_FOUND)
    if call.params.flag("del"):
        call.book.senders.remove(record)
    else:
        record.update({field: call.params.text(field) for field in _KEPT if field in call.params.values})
    return ok()


def _send_code(call: Call) -> Reply:
    """Send a code to the phone, as a message that is paid for like any other."""
    number = parse_number(call.params.text("sender"))
    if not number.good:
        return Reply(answer=failure(1))
    code = f"{call.random.randrange(10_000):04}"
    sent = send.answer(call.with_values(phones="+" + number.digits, mes=f"Code: {code}", id="", sender=".", cost="0"))
    if sent.answer.code:
        return sent
    call.book.codes[number.digits] = code
    return Reply(answer=ok())


def _check_code(call: Call, name: str) -> Answer:
    phone = parse_number(name).digits
    if call.book.codes.get(phone) != call.params.text("code").strip():
        return failure(5, "wrong code")
    del call.book.codes[phone]
    _keep(call, phone)
    return ok()

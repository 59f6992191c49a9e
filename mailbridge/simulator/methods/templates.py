"""templates.php: texts kept by the gateway (smsc-api.md section 8.4)."""

from __future__ import annotations

from mailbridge.simulator.answers import NOTHING_FOUND, Answer, created, failure, listing, ok
from mailbridge.simulator.books import Record
from mailbridge.simulator.calls import Call, Reply

FORMATS = frozenset({"", "sms", "flash", "bin", "push", "mms", "call", "mail", "viber"})
#: parameter -> name in the list
_FIELDS = {"name": "name", "format": "format", "msg": "message", "sender": "sender"}


def answer(call: Call) -> Reply:
    """Answer one request of templates.php. An unknown id is answered in plain words, whatever ``fmt`` (observed)."""
    params, shelf = call.params, call.book.templates
    if params.text("format") not in FORMATS:
        return Reply(answer=failure(1))
    if params.flag("add"):
        if not params.text("name") or not params.text("msg"):
            return Reply(answer=failure(1))
        record = shelf.add(**{kept: params.text(name) for name, kept in _FIELDS.items()}, flag=_flag(call))
        record["format"] = record["format"] or "sms"
        return Reply(answer=created(record["id"]))
    if params.flag("chg") or params.flag("del"):
        found = shelf.get(params.text("id").strip())
        if found is None:
            return Reply(answer=failure(3, NOTHING_FOUND), plain=True)
        return Reply(answer=_change(call, found))
    if params.flag("get"):
        return Reply(answer=listing(list(shelf)))
    return Reply(answer=failure(1))


def _flag(call: Call) -> int:
    return 2 if call.params.flag("fl[1]") else 0


def _change(call: Call, record: Record) -> Answer:
    if call.params.flag("del"):
        call.book.templates.remove(record)
        return ok()
    record.update({kept: call.params.text(name) for name, kept in _FIELDS.items() if name in call.params.values})
    if "fl[1]" in call.params.values:
        record["flag"] = _flag(call)
    return ok()

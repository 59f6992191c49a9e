"""op_templates.php: patterns that operators approve (smsc-api.md section 8.4)."""

from __future__ import annotations

from mailbridge.simulator.answers import created, failure, listing
from mailbridge.simulator.calls import Call, Reply

_MARKS = ("mts_srv", "mts_trn", "mega_srv", "mega_trn", "bee_srv", "bee_trn", "tele2_srv", "tele2_trn")


def answer(call: Call) -> Reply:
    """Answer one request of op_templates.php."""
    params, shelf = call.params, call.book.op_templates
    if params.flag("get"):
        return Reply(answer=listing(list(shelf)))
    if not params.flag("add") or not params.text("sender") or not params.text("msg"):
        return Reply(answer=failure(1))
    marks = {mark: 1 for mark in _MARKS if params.flag(mark)}
    return Reply(answer=created(shelf.add(sender=params.text("sender"), message=params.text("msg"), **marks)["id"]))

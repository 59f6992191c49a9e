"""wait_call.php: numbers a person may call to prove a phone (smsc-api.md section 8.9); /control/calls is the call."""

from __future__ import annotations

from mailbridge.simulator.answers import Answer, failure
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.phones import parse_number

#: numbers that "answer"
NUMBERS = ("79990000099", "79990000098")


def answer(call: Call) -> Reply:
    """Answer one request of wait_call.php."""
    text = call.params.text("phone").strip()
    if not text:
        return Reply(answer=failure(1))
    if not parse_number(text).good:
        return Reply(answer=failure(5, "invalid number"))
    data = {"phone": NUMBERS[0], "all_phones": list(NUMBERS)}
    return Reply(answer=Answer(text=NUMBERS[0], rows=[NUMBERS], data=data))

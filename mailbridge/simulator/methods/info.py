"""info.php: whose number it is (smsc-api.md section 6.5)."""

from __future__ import annotations

from typing import Any

from mailbridge.simulator.answers import TOO_OFTEN, Answer, failure
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.phones import UNKNOWN_OPERATOR, operator_of, parse_numbers


def answer(call: Call) -> Reply:
    """Answer one request of info.php."""
    if not call.params.flag("get_operator"):
        return Reply(answer=failure(1))
    numbers = parse_numbers(call.params.text("phone"))
    if not numbers:
        return Reply(answer=failure(1))
    key = (call.account.login, numbers)
    if call.rates.operators.full(key, call.tick) or call.rates.all_operators.full(call.account.login, call.tick):
        return Reply(answer=failure(9, TOO_OFTEN))
    call.rates.operators.add(key, call.tick)
    call.rates.all_operators.add(call.account.login, call.tick)
    found: list[dict[str, Any]] = []
    for number in numbers:
        operator = operator_of(number.digits)
        if not number.good or operator is UNKNOWN_OPERATOR:
            return Reply(answer=failure(3, "operator not found"))
        found.append(
            {
                "country": operator.country,
                "operator": operator.name,
                "region": operator.region,
                "mcc": operator.mcc,
                "mnc": operator.mnc,
                "tz": "0",
            }
        )
    text = "\n".join(", ".join(f"{name} = {value}" for name, value in one.items()) for one in found)
    return Reply(
        answer=Answer(
            text=text, rows=[list(one.values()) for one in found], data=found[0] if len(found) == 1 else found
        )
    )

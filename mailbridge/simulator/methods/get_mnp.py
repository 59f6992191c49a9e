"""get_mnp.php: operators of numbers (smsc-api.md section 1.2, uncertain). Its shape is chosen here."""

from __future__ import annotations

from mailbridge.simulator.answers import failure, listing
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.phones import operator_of, parse_numbers


def answer(call: Call) -> Reply:
    """Answer one request of get_mnp.php."""
    numbers = parse_numbers(call.params.text("phone"))
    if not numbers:
        return Reply(answer=failure(1))
    found = [(n.digits, operator_of(n.digits).mccmnc) for n in numbers if n.good]
    return Reply(answer=listing([{"phone": phone, "mccmnc": mccmnc} for phone, mccmnc in found if mccmnc]))

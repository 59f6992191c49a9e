"""balance.php (smsc-api.md section 6.1)."""

from __future__ import annotations

from mailbridge.simulator.answers import TOO_OFTEN, Answer, failure, money
from mailbridge.simulator.calls import Call, Reply


def answer(call: Call) -> Reply:
    """Answer one request of balance.php."""
    if not call.rates.balances.take(call.account.login, call.tick):
        return Reply(answer=failure(9, TOO_OFTEN))
    own = call.account.settings
    balance = money(call.account.balance)
    if not call.params.flag("cur"):
        return Reply(answer=Answer(text=balance, rows=[(balance,)], data={"balance": balance}, root="balance"))
    data = {"balance": balance}
    if own.credit:
        data["credit"] = money(own.credit)
    data["currency"] = own.currency
    row = list(data.values())
    return Reply(answer=Answer(text=",".join(row), rows=[row], data=data))

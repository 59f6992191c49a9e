"""users.php: sub-accounts, which may sign in like any other (smsc-api.md section 8.7)."""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal, InvalidOperation

from mailbridge.simulator.accounts import Account
from mailbridge.simulator.answers import NOTHING_FOUND, TOO_OFTEN, Answer, failure, listing, money, ok
from mailbridge.simulator.calls import Call, Reply
from mailbridge.simulator.settings import AccountSettings

_LOGIN = re.compile(r"[A-Za-z0-9._-]{3,40}", re.ASCII)
_CURRENCIES = {"1": "RUR", "2": "USD", "3": "EUR", "4": "UAH", "5": "KZT"}
_NO_SUCH, _SHARED, _NOT_SAVED, _NO_FUNDS = "no such sub-account", "shared balance", "saving failed", "not enough funds"
#: a sub-account that spends its owner's money (the bit is this simulator's choice)
_SHARES = "fl[4]"


def answer(call: Call) -> Reply:
    """Answer one request of users.php."""
    params = call.params
    if params.flag("get_stat_all"):
        accounts = [found for login in call.book.users if (found := call.accounts.get(login)) is not None]
        return Reply(answer=listing([_figures(account) for account in accounts]))
    user = params.text("user").strip()
    if not _LOGIN.fullmatch(user):
        return Reply(answer=failure(1))
    if params.flag("add"):
        return Reply(answer=_add(call, user))
    own = call.accounts.get(user) if user in call.book.users else None
    if not any(map(params.flag, ("chg", "pay", "get_stat"))):
        return Reply(answer=failure(1))
    if own is None:
        return Reply(answer=failure(3, NOTHING_FOUND) if params.flag("get_stat") else failure(6, _NO_SUCH))
    if params.flag("get_stat"):
        return Reply(answer=listing([_figures(own)]))
    return Reply(answer=_pay(call, own) if params.flag("pay") else _chg(call, own))


def _add(call: Call, user: str) -> Answer:
    if not call.params.text("password"):
        return failure(1)
    if not call.rates.user_changes.take((call.account.login, user), call.tick):
        return failure(9, TOO_OFTEN)
    if call.accounts.get(user) is not None:
        return failure(8, _NOT_SAVED)
    fresh = AccountSettings(login=user, apikeys=(), balance=Decimal(0), currency=call.account.settings.currency)
    call.accounts.put(_set(call, fresh))
    call.book.users.append(user)
    return ok()


def _chg(call: Call, own: Account) -> Answer:
    if not call.rates.user_changes.take((call.account.login, own.login), call.tick):
        return failure(9, TOO_OFTEN)
    call.accounts.put(_set(call, own.settings))
    return ok()


def _set(call: Call, settings: AccountSettings) -> AccountSettings:
    """Return *settings* with what the request names."""
    given = call.params.values
    return dataclasses.replace(
        settings,
        password=given.get("password") or settings.password,
        currency=_CURRENCIES.get(given.get("curr", ""), settings.currency),
        sender=given.get("sender", settings.sender),
        callback_url=given.get("url", settings.callback_url or "") or None,
        virtual=call.params.flag("fl2[27]") if "fl2[27]" in given else settings.virtual,
        shares_balance=call.params.flag(_SHARES) if _SHARES in given else settings.shares_balance,
    )


def _pay(call: Call, own: Account) -> Answer:
    """Move money from the owner to the sub-account; a negative sum moves it back."""
    try:
        amount = Decimal(call.params.text("sum").strip())
    except InvalidOperation:
        return failure(1)
    if not amount.is_finite() or not amount or abs(amount) > 10**9:
        return failure(1)
    if own.settings.shares_balance:
        return failure(7, _SHARED)
    payer, taker = (call.account, own) if amount > 0 else (own, call.account)
    if payer.balance < abs(amount):
        return failure(10, _NO_FUNDS)
    payer.balance -= abs(amount)
    taker.balance += abs(amount)
    return ok()


def _figures(account: Account) -> dict[str, object]:
    return {
        "login": account.login, "balance": money(account.balance), "cnt": account.sent, "credit": money(account.spent),
        "debit": "0.00", "currency": account.settings.currency,
    }  # fmt: skip

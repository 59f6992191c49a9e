"""``users.php`` and ``documents.php``: sub-accounts, invoices and acts.

Part of ``client``. Source: smsc-api.md 8.7, 8.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypedDict, Unpack

from mailbridge.gateway.smsc.api import reading
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.options import pairs_of
from mailbridge.gateway.smsc.api.values import Done, Fields, SubAccount


class SubAccountFields(TypedDict, total=False):
    """What may be set on a sub-account; names as the gateway has them where they say enough."""

    password: str
    fio: str
    email: str
    phone: str
    #: 0 to 24: GMT-12 to GMT+12
    tz: int
    #: 1 RUB, 2 USD, 3 EUR, 4 UAH, 5 KZT
    currency: int
    tariff: int
    type: int
    sender: str
    sender2: str
    #: below this balance the user is told
    low_balance: Decimal
    #: days to keep the history
    keep_days: int
    #: prefixes that are allowed
    prefixes: str
    account_limit: int
    phone_limit: int
    text_limit: int
    address_limit: int
    #: hours in which may be sent, ``h1-h2``
    hours: str
    #: minutes an operator may try
    valid_minutes: int
    callback_url: str
    #: ``fl[2]``, ``fl2[27]``, ``mfl[0]`` …: what each means is in smsc-api.md 8.7
    flags: Mapping[str, bool]


_NAMES = {
    "password": "password", "fio": "fio", "email": "email", "phone": "phone", "tz": "tz", "currency": "curr",
    "tariff": "tariff", "type": "type", "sender": "sender", "sender2": "sender2", "low_balance": "nb",
    "keep_days": "ktm", "prefixes": "fmts", "account_limit": "dlim", "phone_limit": "plim", "text_limit": "tlim",
    "address_limit": "ilim", "hours": "tmlim", "valid_minutes": "vld", "callback_url": "url",
}  # fmt: skip


def _pairs(fields: SubAccountFields) -> list[tuple[str, str]]:
    pairs = [(_NAMES[name], str(value)) for name, value in fields.items() if name in _NAMES]
    return [*pairs, *((flag, str(int(on))) for flag, on in fields.get("flags", {}).items())]


class SubAccounts:
    """Accounts below this one."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(self, user: str, **fields: Unpack[SubAccountFields]) -> Done:
        """Make a sub-account.

        Raises: OperationFailed, SavingFailed, TooManyChanges. Source: smsc-api.md 8.7 (``add``).
        """
        return await self._ask.command("users", [*pairs_of(add=1, user=user), *_pairs(fields)])

    async def change(self, user: str, **fields: Unpack[SubAccountFields]) -> Done:
        """Change a sub-account.

        Raises: NoSuchSubAccount, SavingFailed, TooManyChanges. Source: smsc-api.md 8.7 (``chg``).
        """
        return await self._ask.command("users", [*pairs_of(chg=1, user=user), *_pairs(fields)])

    async def pay(self, user: str, amount: Decimal | str, *, second_balance: bool = False) -> Done:
        """Move money to a sub-account; a negative *amount* back (inferred).

        Raises: NoSuchSubAccount, SharedBalance, NotEnoughToTransfer. Source: smsc-api.md 8.7 (``pay``).
        """
        pairs = pairs_of(pay=1, user=user, sum=str(amount), balance2=second_balance or None)
        return await self._ask.command("users", pairs)

    async def statistics(self, user: str, *, start: str | None = None, end: str | None = None) -> list[SubAccount]:
        """Return a sub-account's figures between two days, ``dd.mm.yyyy``. Source: smsc-api.md 8.7, ``get_stat``."""
        pairs = pairs_of(get_stat=1, user=user, start=start, end=end)
        return await self._ask.list("users", pairs, reading.read_subaccount)

    async def list(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        reseller: str | None = None,
        hide_deleted: bool = False,
    ) -> list[SubAccount]:
        """Return all sub-accounts with their figures. Source: smsc-api.md 8.7 (``get_stat_all``)."""
        pairs = pairs_of(get_stat_all=1, start=start, end=end, reseller=reseller, hide_deleted=hide_deleted or None)
        return await self._ask.list("users", pairs, reading.read_subaccount)


class Documents:
    """Invoices and acts; what they answer is not documented, so it is returned as it comes."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add_invoice(
        self, amount: Decimal | str, *, user: str | None = None, user_id: str | None = None, service: str | None = None
    ) -> Done:
        """Have an invoice made. Raises: OperationFailed. Source: smsc-api.md 8.10 (``add_account``)."""
        pairs = pairs_of(add_account=1, sum=str(amount), user=user, user_id=user_id, service=service)
        return await self._ask.command("documents", pairs)

    async def invoices(self, invoice: str | None = None, *, user: str | None = None) -> list[Fields]:
        """Return invoices. Source: smsc-api.md 8.10 (``get_account``)."""
        return await self._ask.list("documents", pairs_of(get_account=1, id=invoice, user=user), dict)

    async def acts(self, number: str | None = None, *, user: str | None = None) -> list[Fields]:
        """Return acts. Source: smsc-api.md 8.10 (``get_act``)."""
        return await self._ask.list("documents", pairs_of(get_act=1, num=number, user=user), dict)

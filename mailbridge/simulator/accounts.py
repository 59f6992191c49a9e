"""Who may ask, and with how much money. Decides credentials and address blocks; knows no method."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from mailbridge.simulator.limits import RateLimit
from mailbridge.simulator.params import Params
from mailbridge.simulator.settings import AccountSettings, Limits

#: length of an MD5 and a SHA-1 in hex: their case does not matter
_DIGEST_CHARS = frozenset({32, 40})


@dataclass(slots=True)
class Account:
    """One account's money and counters."""

    settings: AccountSettings
    balance: Decimal
    ids: itertools.count[int]
    spent: Decimal = Decimal(0)
    sent: int = 0

    @property
    def login(self) -> str:
        """Who it is."""
        return self.settings.login

    def next_id(self) -> str:
        """Return an id of the gateway's own: a small counter of the account."""
        return str(next(self.ids))

    def can_pay(self, cost: Decimal) -> bool:
        """Tell whether balance and credit cover *cost*."""
        return cost <= self.balance + self.settings.credit

    def pay(self, cost: Decimal, parts: int) -> None:
        """Take *cost* for *parts* off the balance."""
        self.balance -= cost
        self.spent += cost
        self.sent += parts


def new_account(settings: AccountSettings) -> Account:
    """Return an account as it is at the start."""
    return Account(settings=settings, balance=settings.balance, ids=itertools.count(1))


def _spellings(password: str) -> frozenset[str]:
    """Return what ``psw`` may be: the password, its MD5 or its SHA-1 (smsc-api.md section 1.4)."""
    raw = password.encode()
    return frozenset({password, hashlib.md5(raw).hexdigest(), hashlib.sha1(raw).hexdigest()})  # noqa: S324 - the gateway's interface, not a defence


class Accounts:
    """All accounts, and the addresses that are blocked for guessing."""

    def __init__(self, settings: tuple[AccountSettings, ...], limits: Limits) -> None:
        self._by_login = {account.login: new_account(account) for account in settings}
        self._passwords = {account.login: _spellings(account.password) for account in settings}
        self._by_key = {key: self._by_login[account.login] for account in settings for key in account.apikeys}
        self._guesses = RateLimit(limits.bad_logins)
        self._blocked_s = limits.blocked_s
        self._blocked_until: dict[str, float] = {}

    def put(self, settings: AccountSettings) -> Account:
        """Add an account, or change what is set on one."""
        account = self._by_login.get(settings.login)
        if account is None:
            account = self._by_login[settings.login] = new_account(settings)
        account.settings = settings
        self._passwords[settings.login] = _spellings(settings.password)
        return account

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_login.values())

    def get(self, login: str) -> Account | None:
        """Return the account of *login*."""
        return self._by_login.get(login)

    def sign_in(self, params: Params) -> Account | None:
        """Return whose credentials *params* carry; a key may stand in ``psw`` when ``login`` is empty."""
        login, password, key = params.text("login"), params.text("psw"), params.text("apikey")
        if key:
            return self._by_key.get(key)
        if not login:
            return self._by_key.get(password) if password else None
        digest = password.lower() if len(password) in _DIGEST_CHARS else password
        if {password, digest} & self._passwords.get(login, frozenset()):
            return self._by_login[login]
        return None

    def blocked(self, address: str, now: float) -> bool:
        """Tell whether *address* is blocked; *now* is monotonic seconds."""
        return self._blocked_until.get(address, 0.0) > now

    def note_guess(self, address: str, now: float) -> None:
        """Count a wrong login of *address* and block it after too many."""
        self._guesses.add(address, now)
        if self._guesses.full(address, now):
            self._blocked_until = {other: until for other, until in self._blocked_until.items() if until > now}
            self._blocked_until[address] = now + self._blocked_s

    def unblock(self) -> None:
        """Forget wrong logins and blocks."""
        self._guesses.clear()
        self._blocked_until.clear()

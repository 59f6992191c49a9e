"""What a method is given and what it gives back. The web layer performs a reply; methods only describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from mailbridge.simulator.accounts import Account, Accounts
from mailbridge.simulator.answers import Answer
from mailbridge.simulator.books import Book, Books
from mailbridge.simulator.inbox import Answers
from mailbridge.simulator.limits import RateLimit
from mailbridge.simulator.messages import MessageStore, Stored
from mailbridge.simulator.params import Params
from mailbridge.simulator.settings import SimulatorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The counters of smsc-api.md section 1.7."""

    duplicates: RateLimit
    prices: RateLimit
    statuses: RateLimit
    balances: RateLimit
    operators: RateLimit
    all_operators: RateLimit
    senders: RateLimit
    user_changes: RateLimit


def new_rates(settings: SimulatorSettings) -> Rates:
    """Return counters at zero."""
    limits = settings.limits
    return Rates(
        duplicates=RateLimit(None if limits.duplicate_s is None else 1, limits.duplicate_s or 0.0),
        prices=RateLimit(limits.identical_prices_per_minute),
        statuses=RateLimit(limits.status_per_minute),
        balances=RateLimit(limits.balance_per_minute),
        operators=RateLimit(limits.identical_operators_per_minute),
        all_operators=RateLimit(limits.operators_per_minute),
        senders=RateLimit(limits.senders_per_minute),
        user_changes=RateLimit(limits.user_changes_per_minute),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request with good credentials, and the state methods work on."""

    params: Params
    account: Account
    accounts: Accounts
    books: Books
    settings: SimulatorSettings
    store: MessageStore
    inbox: Answers
    rates: Rates
    random: Random
    #: phones of the series ONCE that were refused the last time
    once: set[str]
    #: told of every message accepted
    on_accepted: Callable[[Stored], None]
    #: told of every message that will not go out after all
    on_stopped: Callable[[Stored], None]
    #: Unix time, for records
    now: float
    #: monotonic seconds, for limits
    tick: float

    @property
    def book(self) -> Book:
        """What the account keeps at the gateway."""
        return self.books.of(self.account.login)

    def with_values(self, **values: str) -> Call:
        """Return the same request with other parameters."""
        return replace(self, params=replace(self.params, values={**self.params.values, **values}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is to be answered, and how badly."""

    answer: Answer
    #: seconds before the answer goes out
    delay_s: float = 0.0
    #: a fault of ``magic.WIRE``
    wire: str | None = None
    #: an oddity of ``magic.ODD``
    odd: str | None = None
    #: answered in the words of fmt 0, whatever was asked
    plain: bool = False
    #: done *later_s* seconds after the request, whether or not anyone still listens
    later: Callable[[float], None] | None = None
    later_s: float = 0.0


def sender_names(call: Call) -> list[str]:
    """Return the names the account may send under: those set, and those asked for since."""
    own = call.account.settings
    names = own.senders if own.senders is not None else (own.sender,)
    return list(dict.fromkeys([*names, *(str(record["sender"]) for record in call.book.senders)]))

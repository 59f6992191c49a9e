"""What may be set on the simulator. Values only; every default is that of smsc-api.md section 10."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """One account somebody may sign in with: login and password (plain, MD5 or SHA-1), or one of its API keys."""

    login: str = "demo"
    password: str = field(default="demo", repr=False)
    apikeys: tuple[str, ...] = field(default=("demo-key",), repr=False)
    balance: Decimal = Decimal(1000)
    credit: Decimal = Decimal(0)
    currency: str = "RUR"
    #: the name shown where a request gives none
    sender: str = "SMSC.RU"
    #: approved sender names; None approves every name of the right form
    senders: tuple[str, ...] | None = None
    #: hours east of Moscow in which ``time`` is read where a request gives no ``tz``
    tz_h: int = 0
    #: test mode: nothing is charged and every message ends with err 200
    virtual: bool = False
    #: a sub-account that spends its owner's money
    shares_balance: bool = False
    callback_url: str | None = None
    callback_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The gateway's own limits (smsc-api.md section 1.7); None switches one off."""

    #: so many requests of one login at the same time are one too many
    concurrent: int | None = 15
    #: seconds in which an identical send is refused
    duplicate_s: float | None = 60.0
    #: whether ``id`` makes two sends different
    duplicate_counts_id: bool = False
    identical_prices_per_minute: int | None = 5
    status_per_minute: int | None = 5
    balance_per_minute: int | None = 10
    identical_operators_per_minute: int | None = 3
    operators_per_minute: int | None = 100
    senders_per_minute: int | None = 3
    user_changes_per_minute: int | None = 3
    #: wrong logins from one address within a minute until it is blocked
    bad_logins: int | None = 10
    blocked_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """Everything that may be set."""

    accounts: tuple[AccountSettings, ...] = (AccountSettings(),)
    limits: Limits = Limits()
    #: price of one part to one phone
    price: Decimal = Decimal("1.40")
    #: seconds after which a message is handed to the operator (status 0)
    handed_after_s: float = 1.0
    #: seconds after which its final status is known
    final_after_s: float = 3.0
    #: seconds every request takes, to make limits on concurrency felt
    latency_s: float = 0.0
    #: waits before each repetition of a callback that was not answered 2xx; the last one repeats
    callback_retry_s: tuple[float, ...] = (60.0, 300.0, 900.0, 3600.0)
    #: seconds after which a callback is given up
    callback_lifetime_s: float = 86_400.0
    callback_timeout_s: float = 10.0
    #: newest messages and requests that are remembered
    keep: int = 10_000
    max_body_bytes: int = 1_000_000
    max_text_chars: int = 1000
    #: whether the magic numbers of docs/reference/simulator.md work
    magic: bool = True

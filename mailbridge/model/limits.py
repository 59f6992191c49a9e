"""Rates and budgets: how much may be sent in some time, and what of it is used up.

Pure: every function is told the time, and a store keeps the counters as texts that are made and read here alone.
A rate is a log of what was counted, so that no window of its length ever holds more than its number; a budget is a sum
within a day or a month of the calendar. What of it is decided where: docs/adr/0110-limits-are-counted-in-the-store.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Literal

from mailbridge.model.phone import Phone

#: entries of one log at most; beyond that neighbours are counted as if all had come with the newest of them
_SLICES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_RATE = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,4})(s|m|h|d)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}

#: (microseconds since 1970, how many), oldest first
Log = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most *count* in any *window_s* seconds; written ``5/15m``."""

    count: int
    window_s: int
    #: as the configuration has it
    text: str

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return self.window_s * 1_000_000


def parse_rate(text: str) -> Rate:
    """Read ``5/15m``. Raises: ValueError."""
    match = _RATE.fullmatch(text.strip())
    if match is None or int(match[2]) * _UNIT_S[match[3]] > 31 * 86400:
        raise ValueError("not a limit; write how many in which time, such as 5/15m, at most 31d")
    return Rate(int(match[1]), int(match[2]) * _UNIT_S[match[3]], text.strip())


# --------------------------------------------------------------------------------------------------- rates
def read_log(log: Log, rate: Rate, now_us: int) -> Log:
    """Return what of *log* still counts at *now_us*; what a clock set back since had put later counts from now on."""
    return tuple((min(at, now_us), count) for at, count in log if at > now_us - rate.window_us)


def add(log: Log, rate: Rate, at_us: int, count: int) -> Log:
    """Return *log* with *count* more at *at_us*, which is no earlier than its newest entry."""
    grain_us = max(1, rate.window_us // _SLICES)
    if log and (log[-1][0] == at_us or (len(log) >= _SLICES and log[-1][0] // grain_us == at_us // grain_us)):
        return (*log[:-1], (at_us, log[-1][1] + count))
    return (*log, (at_us, count))


def free_at(log: Log, rate: Rate, now_us: int, count: int) -> int:
    """Return when *count* more fit, *now_us* at the earliest; *count* is no more than the rate ever allows.

    *log* is as ``read_log`` returned it.
    """
    room = rate.count - count
    used = sum(counted for _, counted in log)
    for at, counted in log:
        if used <= room:
            break
        used -= counted
        now_us = max(now_us, at + rate.window_us)
    return now_us


@dataclass(frozen=True, slots=True)
class Over:
    """A limit that is reached: its place in the configuration, its words, and when it has room again."""

    config: str
    limit: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Allowance:
    """The rates of one client, user, sender or phone, which share a counter."""

    #: ``client``, ``user``, ``sender`` or ``phone``
    scope: str
    name: str
    rates: tuple[Rate, ...]
    #: their place in the configuration; empty: ``limits`` and the scope
    place: str = ""

    @property
    def config(self) -> str:
        """Their place in the configuration."""
        return self.place or f"limits.{self.scope}"

    @property
    def key(self) -> str:
        """The counter's name."""
        return f"rate:{self.scope}:{self.name}"

    @property
    def longest(self) -> timedelta:
        """The longest window: after it the counter is worth nothing."""
        return timedelta(seconds=max(rate.window_s for rate in self.rates))

    def full_until(self, counter: str, now: datetime) -> datetime | None:
        """Return until when not even one more fits; None when one does."""
        over = self.ask(counter, now, 1)
        return None if over is None else over.until

    def ask(self, counter: str, now: datetime, count: int) -> Over | None:
        """Return which rate has no room for *count* more at *now*, the one that lasts longest; None when all have."""
        now_us, logs = _to_us(now), _load_logs(counter)
        worst: Over | None = None
        for rate in self.rates:
            log = read_log(logs.get(rate.window_s, ()), rate, now_us)
            # more than ever fit never do
            at_us = free_at(log, rate, now_us, count) if count <= rate.count else now_us + rate.window_us
            if at_us > now_us and (worst is None or _from_us(at_us) > worst.until):
                worst = Over(self.config, f"{self.scope} {rate.text}", _from_us(at_us))
        return worst

    def count(self, counter: str, now: datetime, count: int) -> str:
        """Return *counter* with *count* more at *now*; none more merely takes over a clock that was set back."""
        now_us, logs = _to_us(now), _load_logs(counter)
        kept = {rate.window_s: read_log(logs.get(rate.window_s, ()), rate, now_us) for rate in self.rates}
        if count:
            kept = {rate.window_s: add(kept[rate.window_s], rate, now_us, count) for rate in self.rates}
        return json.dumps({str(window_s): log for window_s, log in kept.items() if log}, separators=(",", ":"))


def _load_logs(counter: str) -> dict[int, Log]:
    if not counter:
        return {}
    return {int(window): tuple((at, count) for at, count in log) for window, log in json.loads(counter).items()}


# ------------------------------------------------------------------------------------------------- budgets
@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one day or month may cost: in parts, in money of the account, or both. None: without limit."""

    #: whose: of ``all`` together, of each ``user``, of each ``phone``
    scope: Literal["all", "user", "phone"]
    period: Literal["day", "month"]
    parts: int | None = None
    money: Decimal | None = None
    #: the one user it is for; None: each of its scope
    owner: str | None = None
    #: its place in the configuration; empty: where that of its scope and period stands
    place: str = ""

    @property
    def config(self) -> str:
        """Its place in the configuration."""
        return self.place or f"limits.budget.{'' if self.scope == 'all' else self.scope + '.'}{self.period}"

    def key(self, name: str, now: datetime, zone: tzinfo | None) -> str:
        """Return the name of the counter of *name* (empty for ``all``) in the period that *now* is in."""
        day = now.astimezone(zone)
        return f"budget:{self.scope}:{self.period}:{day:{'%Y-%m-%d' if self.period == 'day' else '%Y-%m'}}:{name}"

    def ends_at(self, now: datetime, zone: tzinfo | None) -> datetime:
        """Return when the next period begins."""
        day = now.astimezone(zone).date()
        first = day + timedelta(days=1) if self.period == "day" else (day.replace(day=1) + timedelta(days=32))
        if self.period == "month":
            first = first.replace(day=1)
        return datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)

    def over(self, spent: Spent, parts: int) -> str:
        """Return in words which of its limits has no room for *parts* more after *spent*; empty when both have."""
        if self.parts is not None and spent.parts + parts > self.parts:
            return f"{self.period} budget of {self.parts} parts"
        if self.money is None:
            return ""
        expected = spent.money + spent.dearest * (spent.unpriced + parts)
        if expected > self.money or spent.money >= self.money:
            return f"{self.period} budget of {self.money}"
        return ""

    def share(self, spent: Spent) -> float:
        """Return how much of it is used up; 1.0 is all."""
        parts = 0.0 if self.parts is None else spent.parts / self.parts if self.parts else 1.0
        money = 0.0 if self.money is None else float(spent.money / self.money) if self.money else 1.0
        return max(parts, money)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a budget's counter holds."""

    #: parts handed to a gateway, or about to be
    parts: int = 0
    #: those of them whose price is not known yet
    unpriced: int = 0
    money: Decimal = Decimal(0)
    #: the highest price of one part so far: what is on its way is expected to cost that
    dearest: Decimal = Decimal(0)
    #: the highest per cent that was told to the operator
    told: int = 0

    def tell(self, percent: int) -> Spent:
        """Return this after the operator was told of so many per cent."""
        return replace(self, told=percent)

    def charge(self, parts: int) -> Spent:
        """Return this with *parts* more that leave now."""
        return replace(self, parts=self.parts + parts, unpriced=self.unpriced + parts)

    def settle(self, settlement: Settlement) -> Spent:
        """Return this after the gateway has said what it took."""
        dearest = max(self.dearest, settlement.money / settlement.priced) if settlement.priced > 0 else self.dearest
        return replace(
            self,
            parts=max(0, self.parts + settlement.parts),
            unpriced=max(0, self.unpriced - settlement.settled),
            money=max(Decimal(0), self.money + settlement.money),
            dearest=dearest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a change of one message adds to the counters it was charged to."""

    #: more parts than were charged, or fewer
    parts: int = 0
    #: charged parts about which no more is to come
    settled: int = 0
    money: Decimal = Decimal(0)
    #: parts that *money* is the whole price of; 0 where it is a correction
    priced: int = 0


def dump_spent(spent: Spent) -> str:
    """Return *spent* as a counter's text."""
    return json.dumps(
        {"p": spent.parts, "u": spent.unpriced, "m": str(spent.money), "d": str(spent.dearest), "t": spent.told},
        separators=(",", ":"),
    )


def load_spent(counter: str) -> Spent:
    """Return a counter's text, empty for none yet, as a value."""
    if not counter:
        return Spent()
    raw = json.loads(counter)
    return Spent(parts=raw["p"], unpriced=raw["u"], money=Decimal(raw["m"]), dearest=Decimal(raw["d"]), told=raw["t"])


def settle_all(counters: Mapping[str, str], booked: Iterable[tuple[str, Settlement]]) -> dict[str, str]:
    """Return the texts of *counters* after all that is *booked* on them."""
    spent = {name: load_spent(state) for name, state in counters.items()}
    for name, settlement in booked:
        spent[name] = spent[name].settle(settlement)
    return {name: dump_spent(one) for name, one in spent.items()}


def counter_until(name: str, counter: str, now: datetime) -> datetime:
    """Return when the counter *name* is worth nothing any more: nobody asks for it then, whatever is configured."""
    if name.startswith("rate:"):
        return now + timedelta(seconds=max(_load_logs(counter), default=0))
    # budgets of a period long over are looked at by nobody; late prices come within days
    return now + timedelta(days=62)


# -------------------------------------------------------------------------------------------- what is to leave
@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One message that is due and was not charged yet."""

    id: str
    phone: Phone
    user: str | None
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """Whose messages a claim may take, by who signed in to send them."""

    users: frozenset[str]
    #: theirs alone; else all but theirs
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """What is asked before a message leaves: the phones' rates and all budgets."""

    phone: tuple[Rate, ...] = ()
    budgets: tuple[Budget, ...] = ()
    #: where days begin; None: the process's own
    zone: tzinfo | None = UTC
    #: users with budgets of their own, which stand in place of those of each user
    exempt: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.phone or self.budgets)

    @property
    def asks_user(self) -> bool:
        """True when a decision depends on who has sent the mail."""
        return any(budget.scope == "user" for budget in self.budgets)

    def allowance(self, wanted: Wanted) -> Allowance | None:
        """Return the rates of the phone of *wanted*."""
        return Allowance("phone", wanted.phone, self.phone) if self.phone else None

    def charged_to(self, wanted: Wanted, now: datetime) -> list[tuple[Budget, str]]:
        """Return the budgets that *wanted* draws on, each with its counter's name."""
        names = {"all": "", "user": wanted.user, "phone": wanted.phone}
        return [
            (budget, budget.key(name, now, self.zone))
            for budget in self.budgets
            if (name := names[budget.scope]) is not None and self.concerns(budget, name)
        ]

    def concerns(self, budget: Budget, name: str) -> bool:
        """Tell whether *name*, a user, a phone or empty for all, is one that *budget* is for."""
        if budget.owner is not None:
            return name == budget.owner
        return budget.scope != "user" or name not in self.exempt

    def keys(self, wanted: Iterable[Wanted], now: datetime) -> frozenset[str]:
        """Return the names of all counters that a decision about *wanted* looks at."""
        out = set()
        for one in wanted:
            if allowance := self.allowance(one):
                out.add(allowance.key)
            out |= {key for _, key in self.charged_to(one, now)}
        return frozenset(out)

    def hold(self, wanted: Sequence[Wanted], counters: Mapping[str, str], now: datetime) -> dict[str, Over]:
        """Return which of *wanted*, oldest first, must wait and until when; the others may leave now, together.

        Those that wait for one phone get its free places one after the other, so that they do not all come back at
        once; nothing is promised to them by that.
        """
        draft = dict(counters)
        out: dict[str, Over] = {}
        for one in wanted:
            over = self._over_budget(one, draft, now)
            if over is None and (allowance := self.allowance(one)):
                over = _next_place(allowance, draft, now)
            if over is not None:
                out[one.id] = over
            else:
                draft |= self.charge([one], draft, now)
        return out

    def _over_budget(self, one: Wanted, counters: Mapping[str, str], now: datetime) -> Over | None:
        worst: Over | None = None
        for budget, key in self.charged_to(one, now):
            if words := budget.over(load_spent(counters.get(key, "")), one.parts):
                until = budget.ends_at(now, self.zone)
                if worst is None or until > worst.until:
                    worst = Over(budget.config, f"{_of(budget.scope)}{words}", until)
        return worst

    def charge(self, leaving: Iterable[Wanted], counters: Mapping[str, str], now: datetime) -> dict[str, str]:
        """Return the counters that change when *leaving* leaves, with their new texts."""
        out: dict[str, str] = {}
        for one in leaving:
            if allowance := self.allowance(one):
                known = out.get(allowance.key, counters.get(allowance.key, ""))
                out[allowance.key] = allowance.count(known, now, 1)
            for _, key in self.charged_to(one, now):
                out[key] = dump_spent(load_spent(out.get(key, counters.get(key, ""))).charge(one.parts))
        return out


def _next_place(allowance: Allowance, draft: dict[str, str], now: datetime) -> Over | None:
    """Return None where the phone takes one more now, else take its next place in *draft*."""
    # what was given away before lies in the future: the place after it is looked for from there
    waiting = f"{allowance.key} waiting"
    counter, at, over = draft.get(waiting, draft.get(allowance.key, "")), now, None
    while (more := allowance.ask(counter, at, 1)) is not None:
        over, at = more, more.until
    if over is None and waiting not in draft:
        return None
    draft[waiting] = allowance.count(counter, at, 1)
    return over or Over(allowance.config, allowance.scope, at)


def _of(scope: str) -> str:
    return "" if scope == "all" else f"{scope} "


def _to_us(at: datetime) -> int:
    return (at - _EPOCH) // _US


def _from_us(us: int) -> datetime:
    return _EPOCH + us * _US


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRates:
    """The rates asked when a mail comes in: of its client, its user and its sender."""

    client: tuple[Rate, ...] = ()
    user: tuple[Rate, ...] = ()
    sender: tuple[Rate, ...] = ()
    #: the rates of users who have their own in place of ``user``, each with their place in the configuration
    own: Mapping[str, tuple[str, tuple[Rate, ...]]] = field(default_factory=dict)

    def allowances(self, *, client: str = "", user: str | None = None, sender: str = "") -> tuple[Allowance, ...]:
        """Return what is configured for those of the three that are known."""
        place, own = self.own.get(user or "", ("", self.user))
        named = (
            ("client", client, self.client, ""), ("user", user, own, place), ("sender", sender.lower(), self.sender, "")
        )  # fmt: skip
        return tuple(Allowance(scope, name, rates, place) for scope, name, rates, place in named if name and rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All that is limited."""

    door: DoorRates = field(default_factory=DoorRates)
    throttle: Throttle = field(default_factory=Throttle)
    #: per cent of a budget at which the operator is warned
    warn_percent: int = 80

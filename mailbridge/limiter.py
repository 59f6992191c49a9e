"""Limits as the running bridge sees them: what the door knows of them, and who is told when money runs out.

The store counts and decides (``model.limits``, ADR 110). Here stands what is known of that between two commits, so that
MAIL and RCPT refuse at once what DATA would refuse anyway; nothing here lets anything through that the store would not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import structlog

from mailbridge.clock import Clock
from mailbridge.config.model import Budget as BudgetSettings
from mailbridge.config.model import BudgetOfEach, Config, Spending
from mailbridge.errors import Rejected
from mailbridge.model.limits import (
    Allowance,
    Budget,
    DoorRates,
    Limits,
    Rate,
    Spent,
    Throttle,
    load_spent,
    parse_rate,
)
from mailbridge.model.mail import Client
from mailbridge.model.phone import Phone
from mailbridge.model.reply import OVER_LIMIT
from mailbridge.queue.contract import PutResult, Store

log = structlog.get_logger()

#: full counters that are remembered; those beyond are found out at DATA
_REMEMBERED = 10_000
_ALL = 100


def read_limits(config: Config) -> Limits:
    """Return the ``limits`` section, and what users have in place of it, as values."""
    settings, budget = config.limits, config.limits.budget
    users = [(f"users[{index}]", user) for index, user in enumerate(config.users)]
    budgets = [
        *_budgets("all", budget), *_budgets("user", budget.user), *_budgets("phone", budget.phone),
        *(
            one
            for place, user in users
            if user.budget is not None
            for one in _budgets("user", user.budget, owner=user.name, place=f"{place}.budget")
        ),
    ]  # fmt: skip
    return Limits(
        door=DoorRates(
            client=_rates(settings.client), user=_rates(settings.user), sender=_rates(settings.sender),
            own={
                user.name: (f"{place}.limits", _rates(user.limits)) for place, user in users if user.limits is not None
            },
        ),
        throttle=Throttle(
            phone=_rates(settings.phone), budgets=tuple(budgets),
            zone=ZoneInfo(budget.timezone) if budget.timezone else None,
            exempt=frozenset(user.name for _, user in users if user.budget is not None),
        ),
        warn_percent=int(budget.warn.removesuffix("%")),
    )  # fmt: skip


def never_passed(config: Config, groups: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return limits that some mail can never pass, however long its client tries: place in the configuration, words.

    *groups* says how many numbers each alias means.
    """
    limits = read_limits(config)
    parts = max([config.message.max_parts, *(rule.set_.max_parts or 0 for rule in config.rules)])
    out = [
        (one.config, f"a message of {parts} parts never fits into {one.parts}; raise it, or lower max_parts")
        for one in limits.throttle.budgets
        if one.parts is not None and one.parts < parts
    ]
    door = limits.door
    written = [("limits.client", door.client), ("limits.user", door.user), ("limits.sender", door.sender)]
    for place, rates in [*written, *door.own.values()]:
        for name, count in groups.items():
            if small := [rate.text for rate in rates if rate.count < count]:
                words = f"a mail to {name} is {count} messages, which {small[0]} never lets through"
                out.append((place, f"{words}; raise it, or write fewer into the alias"))
    return out


def _budgets(
    scope: Literal["all", "user", "phone"],
    settings: BudgetSettings | BudgetOfEach,
    *,
    owner: str | None = None,
    place: str = "",
) -> Iterator[Budget]:
    periods: tuple[tuple[Literal["day", "month"], Spending], ...] = (("day", settings.day), ("month", settings.month))
    for period, spending in periods:
        if spending.parts is not None or spending.money is not None:
            yield Budget(
                scope=scope, period=period, parts=spending.parts,
                money=None if spending.money is None else Decimal(spending.money),
                owner=owner, place=f"{place}.{period}" if place else "",
            )  # fmt: skip


def _rates(words: list[str]) -> tuple[Rate, ...]:
    return tuple(parse_rate(word) for word in words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How far a budget is used up."""

    budget: Budget
    #: the counter's name
    key: str
    #: the user or phone; empty for all together
    name: str
    spent: Spent

    @property
    def percent(self) -> int:
        """How much is used up; 100 also where not one part more would fit."""
        return _ALL if self.budget.over(self.spent, 1) else min(_ALL, int(self.budget.share(self.spent) * 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What was learned, for whoever keeps a door in another process."""

    #: counter -> until when it is full
    full: Mapping[str, datetime]
    #: (scope, name) of all budgets that are used up
    out: frozenset[tuple[str, str]]


class Known:
    """What the door knows: which counters are full and until when, and which budgets are used up.

    *spread* hears of what is new, and whoever is given that by ``hear`` elsewhere knows the same.
    """

    def __init__(self, limits: Limits, clock: Clock, spread: Callable[[News], None] = lambda _news: None) -> None:
        self.limits = limits
        self._clock = clock
        self._spread = spread
        #: counter -> (when it was learned, until when it is full)
        self._full: dict[str, tuple[datetime, datetime]] = {}
        #: (scope, name) of budgets that are used up
        self._out: frozenset[tuple[str, str]] = frozenset()

    def learn(self, result: PutResult) -> None:
        """Remember what the store said when it took a mail, or did not."""
        if result.full:
            self._note(News(full=result.full, out=self._out))

    def learn_budgets(self, uses: list[Use]) -> None:
        """Remember which budgets are used up."""
        out = frozenset((use.budget.scope, use.name) for use in uses if use.budget.over(use.spent, 1))
        if out != self._out:
            self._note(News(full={}, out=out))

    def _note(self, news: News) -> None:
        self.hear(news)
        self._spread(news)

    def hear(self, news: News) -> None:
        """Remember what was learned elsewhere."""
        now = self._clock.now()
        self._out = news.out
        for key, until in news.full.items():
            self._full.pop(key, None)
            self._full[key] = (now, until)
        while len(self._full) > _REMEMBERED:
            del self._full[next(iter(self._full))]

    def all_news(self) -> News:
        """Return all that is known, for a door that begins."""
        return News(full={key: until for key, (_, until) in self._full.items()}, out=self._out)

    def ask_sender(self, sender: str) -> None:
        """Raises: Rejected where DATA would be over a limit of the sender."""
        if self._full:
            self._ask(self.limits.door.allowances(sender=sender))

    def ask_recipient(self, phones: Collection[Phone], client: Client) -> None:
        """Raises: Rejected where a budget is used up, or DATA would be over a limit of the client or the user.

        *phones* are all numbers of the recipient: while one of them may get it, a name is taken, and what is for the
        others waits for their budgets.
        """
        if used_up := self._used_up(phones, client):
            log.info("limit reached", config=self._place_of(used_up), of=sorted(scope for scope, _ in used_up))
            raise Rejected(OVER_LIMIT)
        if self._full:
            self._ask(self.limits.door.allowances(client=client.address, user=client.user))

    def used_up_for(self, phones: Collection[Phone], client: Client) -> str:
        """Return the place of the budget for which ``ask_recipient`` refuses; empty where it does not."""
        used_up = self._used_up(phones, client)
        return self._place_of(used_up) if used_up else ""

    def _used_up(self, phones: Collection[Phone], client: Client) -> frozenset[tuple[str, str]]:
        if not self._out:
            return frozenset()
        by_phone = self._out & {("phone", one) for one in phones}
        others = self._out & {("all", ""), ("user", client.user or "")}
        return others | by_phone if len(by_phone) == len(phones) else others

    def _place_of(self, used_up: frozenset[tuple[str, str]]) -> str:
        own = next((one.place for one in self.limits.throttle.budgets if ("user", one.owner) in used_up), "")
        return own.rpartition(".")[0] or "limits.budget"

    def _ask(self, allowances: tuple[Allowance, ...]) -> None:
        now = self._clock.now()
        for one in allowances:
            learned_at, until = self._full.get(one.key, (now, now))
            if learned_at <= now < until:
                log.info("limit reached", config=one.config, until=until.isoformat(timespec="seconds"))
                raise Rejected(OVER_LIMIT)
            # over, or learned by a clock that was set back since
            self._full.pop(one.key, None)


class Accountant:
    """The duty that looks at the budgets, tells the operator once, and lets the door know."""

    idle_s = 2.0

    def __init__(
        self, *, store: Store, clock: Clock, known: Callable[[], Known], tell: Callable[[Use, int, datetime], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._known = known
        self._tell = tell
        #: of all together, for the metrics
        self.uses: list[Use] = []

    def gauges(self) -> list[tuple[str, str, float, float]]:
        """Return period, unit, what is used and the limit of the budgets of all together, as last looked at."""
        out: list[tuple[str, str, float, float]] = []
        for use in self.uses:
            budget, spent = use.budget, use.spent
            if budget.parts is not None:
                out.append((budget.period, "parts", float(spent.parts), float(budget.parts)))
            if budget.money is not None:
                out.append((budget.period, "money", float(spent.money), float(budget.money)))
        return out

    async def step(self) -> int:
        """Look once. Raises StoreError."""
        known = self._known()
        throttle = known.limits.throttle
        if not throttle.budgets:
            self.uses = []
            return 0
        now = self._clock.now()
        uses = await read_uses(self._store, throttle, now)
        known.learn_budgets(uses)
        self.uses = [use for use in uses if use.budget.scope == "all"]
        for use in uses:
            level = _ALL if use.percent >= _ALL else known.limits.warn_percent
            if use.percent >= level > use.spent.told and await self._store.note_told(use.key, level):
                self._tell(use, level, use.budget.ends_at(now, throttle.zone))
        return 0


async def read_uses(store: Store, throttle: Throttle, now: datetime) -> list[Use]:
    """Return how far each budget is used up in its present period; those of nobody yet are left out."""
    out = []
    for budget in throttle.budgets:
        prefix = budget.key("", now, throttle.zone)
        found: Mapping[str, str] = (
            await store.counters_named(prefix)
            if budget.owner is None
            else await store.counters([prefix + budget.owner])
        )
        out += [
            Use(budget=budget, key=key, name=key.removeprefix(prefix), spent=load_spent(state))
            for key, state in found.items()
            if throttle.concerns(budget, key.removeprefix(prefix))
        ]
    return out

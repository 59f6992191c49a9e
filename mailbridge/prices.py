"""What a part costs, learned from what was paid and from what was asked, and kept in the store with its age.

Nothing here delays a message: the bridge asks no gateway for a price, it remembers what its gateways said of what they
took; a verb that asks (``preview --cost``) asks once for numbers that begin alike, and what it heard is known to all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from mailbridge.clock import Clock
from mailbridge.gateway.contract import Batch, Gateway, Price
from mailbridge.model.message import Message
from mailbridge.model.outcome import Accepted, Outcome, SmsError
from mailbridge.model.phone import Phone
from mailbridge.model.price import FRESH_FOR, PartPrice, prefix_of
from mailbridge.queue.contract import Store

#: what is kept in the store is called so
_NOTE = "price:"
#: prefixes that are remembered; one operator has a few hundred
_MOST = 10_000

#: (gateway, prefix) -> price
Known = Mapping[tuple[str, str], PartPrice]


def find_price(known: Known, gateways: Sequence[str], phone: Phone) -> PartPrice | None:
    """Return what a part to *phone* costs at the first of *gateways* of which that is known."""
    found = (known.get((name, prefix_of(phone))) for name in gateways)
    return next((price for price in found if price is not None), None)


async def read_prices(store: Store) -> Known:
    """Return what the store knows of prices. Raises: StoreError."""
    notes = await store.counters_named(_NOTE)
    read = ((name.removeprefix(_NOTE).rpartition(":"), _load(text)) for name, text in notes.items())
    return {(gateway, prefix): price for (gateway, _, prefix), price in read if price is not None}


async def keep_price(store: Store, gateway: str, phone: Phone, price: PartPrice) -> None:
    """Keep what a part costs at *gateway* for numbers that begin as *phone*. Raises: StoreError."""
    text = json.dumps({"cost": str(price.cost), "currency": price.currency, "at": price.at.isoformat()})
    await store.keep_note(f"{_NOTE}{gateway}:{prefix_of(phone)}", text, until=price.at + 30 * FRESH_FOR)


def _load(text: str) -> PartPrice | None:
    try:
        fields = json.loads(text)
        return PartPrice(
            cost=Decimal(fields["cost"]), currency=fields["currency"], at=datetime.fromisoformat(fields["at"])
        )
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return None


async def ask_price(
    gateway: Gateway, message: Message, *, currency: str, store: Store | None, known: Known, now: datetime
) -> Price | SmsError:
    """Return what *message* costs: as is known and fresh, else as *gateway* says, which is kept then.

    *store* is None where there is none to keep it in. Raises: StoreError.
    """
    held = known.get((gateway.name, prefix_of(message.phone)))
    if held is not None and held.is_fresh(now):
        return Price(cost=held.cost * message.parts, parts=message.parts, currency=held.currency)
    answer = await gateway.price(message)
    if not isinstance(answer, Price) or answer.parts < 1:
        return answer
    part = PartPrice(cost=answer.cost / answer.parts, currency=answer.currency or currency or None, at=now)
    if store is not None:
        await keep_price(store, gateway.name, message.phone, part)
    return Price(cost=answer.cost, parts=answer.parts, currency=part.currency)


class Prices:
    """What the running bridge knows; the duty that keeps it in the store."""

    idle_s = 10.0

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[tuple[str, str], PartPrice] = {}
        #: not in the store yet
        self._unkept: dict[tuple[str, str], Phone] = {}

    async def load(self) -> None:
        """Read what was known before. Raises: StoreError."""
        self._known = {**await read_prices(self._store), **self._known}

    def of(self, gateways: Sequence[str], phone: Phone) -> PartPrice | None:
        """Return what a part to *phone* costs at the first of *gateways* of which that is known."""
        return find_price(self._known, gateways, phone) if self._known else None

    def learn(self, gateway: str, message: Message, outcome: Accepted, currency: str | None) -> None:
        """Remember what a message cost that *gateway* took."""
        if outcome.price is None or outcome.parts < 1:
            return
        place, now = (gateway, prefix_of(message.phone)), self._clock.now()
        part = PartPrice(cost=outcome.price / outcome.parts, currency=currency, at=now)
        held = self._known.get(place)
        self._known[place] = part
        if held is None or held.cost != part.cost or not held.is_fresh(now):
            self._unkept[place] = message.phone
        elif place not in self._unkept:
            # its age counts from when it was kept
            self._known[place] = held
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    async def step(self) -> int:
        """Keep what is new. Raises: StoreError."""
        for place, phone in list(self._unkept.items()):
            if (price := self._known.get(place)) is not None:
                await keep_price(self._store, place[0], phone, price)
            self._unkept.pop(place, None)
        return 0


class _LearningGateway:
    def __init__(self, gateway: Gateway, prices: Prices, currency: str | None) -> None:
        self._gateway = gateway
        self._prices = prices
        self._currency = currency

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        outcomes = await self._gateway.send(batch)
        for message, outcome in zip(batch.messages, outcomes, strict=False):
            if isinstance(outcome, Accepted):
                self._prices.learn(self._gateway.name, message, outcome, self._currency)
        return outcomes


def learning_gateway(gateway: Gateway, prices: Prices, *, currency: str | None) -> Gateway:
    """Return *gateway*, whose prices are remembered; it alters nothing that passes."""
    return cast("Gateway", _LearningGateway(gateway, prices, currency))

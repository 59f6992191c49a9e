"""What the API and the desk ask of the running bridge: one value that a reload changes in place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from mailbridge.admin import (
    Action,
    acknowledge,
    act,
    balance_json,
    command_gateway,
    find_some,
    gateways_json,
    spend_json,
)
from mailbridge.clerk import Clerk
from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.delivery.board import Board
from mailbridge.errors import NotFound
from mailbridge.gateway.contract import Price
from mailbridge.model.message import Message
from mailbridge.model.outcome import Balance, SmsError, Suspended
from mailbridge.model.state import State
from mailbridge.queue.browsing import Page
from mailbridge.queue.contract import Filter, GatewayState, Json, Store, StoredMessage
from mailbridge.queue.escalations import FoundEscalation, Wanted
from mailbridge.refusals import Refusal
from mailbridge.stats import Sums
from mailbridge.web.feed import Feed

T = TypeVar("T")

#: how long one look for messages may go on before it says how far it came
LOOK_S = 0.1
#: what a gateway is asked, and sums over the whole queue, are not asked again sooner
_FRESH_S = 10.0
_COUNTED_S = 2.0
_PRICE_S = 3.0
_MOST_PRICES = 500


class Fresh(Generic[T]):
    """An answer that is good for a while."""

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Clock, for_s: float = _FRESH_S) -> None:
        self._ask = ask
        self._clock = clock
        self._for_s = for_s
        self._answer: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the answer, asked anew where it is too old."""
        now_s = self._clock.monotonic()
        if self._answer is None or now_s - self._answer[0] >= self._for_s:
            self._answer = (now_s, await self._ask())
        return self._answer[1]


@dataclass(slots=True)
class Office:
    """The bridge as pages see it."""

    store: Store
    clock: Clock
    #: exchanged by a reload
    clerk: Clerk
    board: Board
    #: rung when a person has changed the queue or a gateway
    changed: Callable[[], None]
    #: what the door refused lately
    refusals: Callable[[], Sequence[Refusal]] = tuple
    sums: Sums = field(init=False)
    feed: Feed = field(init=False)
    _counts: Fresh[Mapping[State, int]] = field(init=False)
    _prices: dict[tuple[object, ...], Price | SmsError] = field(init=False, default_factory=dict)
    _spend: Fresh[dict[str, dict[str, Json]]] = field(init=False)
    _balances: dict[str, Fresh[Balance | Suspended | SmsError]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = Sums(self.store, self.clock)
        self.feed = Feed(self.store, self.clock)
        self._counts = Fresh(self.store.count_states, self.clock, _COUNTED_S)
        self._spend = Fresh(lambda: spend_json(self.store, now=self.clock.now()), self.clock)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.clerk.config

    async def find(self, wanted: Filter) -> Page:
        """List messages, newest first; a page may be short where looking on would take too long. Raises StoreError."""
        return await find_some(self.store, wanted, clock=self.clock, budget_s=LOOK_S)

    async def counts(self) -> Mapping[State, int]:
        """Count messages by state, as they were a moment ago. Raises StoreError."""
        return await self._counts.get()

    async def price(self, message: Message) -> Price | SmsError | None:
        """Return what *message* would cost, asked of the first gateway once for each length; None in time for none."""
        key = (message.phone[:5], message.parts, message.alphabet, message.translit)
        carrier = next(iter(self.board.carriers.values()), None)
        if carrier is None:
            return None
        if key not in self._prices:
            try:
                async with asyncio.timeout(_PRICE_S):
                    answer = await carrier.gateway.price(message)
            except TimeoutError:
                return None
            if len(self._prices) >= _MOST_PRICES:
                self._prices.clear()
            self._prices[key] = answer
        price = self._prices[key]
        return replace(price, currency=price.currency or carrier.policy.currency) if isinstance(price, Price) else price

    async def act(self, id_: str, action: Action, *, by: str) -> list[StoredMessage]:
        """Carry *action* out on a mail or message. Raises NotFound, WrongState, StoreError."""
        lifetime_s = self.config.queue.lifetime
        rows = await act(self.store, [id_], action, lifetime_s=lifetime_s, by=by, clock=self.clock)
        self.changed()
        return rows

    async def asks(self, mail_id: str) -> list[FoundEscalation]:
        """Return the alerts of a mail that somebody has to answer, or had to. Raises StoreError."""
        return list(await self.store.find_escalations(Wanted(id=mail_id)))

    async def acknowledge(self, id_: str, *, by: str) -> None:
        """Answer the alerts of a mail or message; its sender hears of it. Raises NotFound, WrongState, StoreError."""
        await acknowledge(self.store, [id_], by=by, clock=self.clock)
        self.changed()

    async def command(self, name: str, command: str) -> GatewayState:
        """Carry ``probe``, ``suspend`` or ``resume`` out on a gateway; it holds at once.

        Raises: NotFound, StoreError.
        """
        if name not in self.config.gateways:
            raise NotFound(f"there is no gateway {name[:60]}")
        state = await command_gateway(self.store, name, command, clock=self.clock)
        await self.board.follow()
        self.changed()
        return state

    async def gateways(self, *, shows_callback: bool) -> list[dict[str, Json]]:
        """Return each gateway's state and spend."""
        return await gateways_json(
            self.config, self.store, spend=await self._spend.get(), shows_callback=shows_callback
        )

    async def balance(self, name: str) -> Mapping[str, Json] | SmsError:
        """Ask a gateway for the money left; its error where it gives none. Raises NotFound."""
        carrier = self.board.carriers.get(name)
        if carrier is None:
            raise NotFound(f"there is no gateway {name[:60]}")
        # a reload exchanges the carriers
        fresh = self._balances.setdefault(name, Fresh(lambda: self._ask_balance(name), self.clock))
        answer = await fresh.get()
        if isinstance(answer, Balance):
            return balance_json(answer, currency=carrier.policy.currency)
        return answer.error if isinstance(answer, Suspended) else answer

    async def _ask_balance(self, name: str) -> Balance | Suspended | SmsError:
        return await self.board.carriers[name].gateway.balance()

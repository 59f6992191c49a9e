"""SMS that come in: taken from callbacks and inboxes, kept, and handed to whoever knows what they mean.

    callback or inbox -> Store.take_inbound -> handlers, one after the other -> Store.settle_inbound

Each is on disk before a callback is answered, and before the cursor of an inbox moves on. A bridge that dies between
keeping and handling finds it again; handlers do nothing a second time for the same SMS.
It must not know what an SMS means: an SMS that is nobody's is logged and counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from mailbridge.clock import Clock
from mailbridge.delivery import breaker
from mailbridge.delivery.board import Board, Carrier
from mailbridge.gateway.contract import InboxPage, Silence
from mailbridge.model.inbound import InboundSms
from mailbridge.model.outcome import Suspended
from mailbridge.queue.contract import Store
from mailbridge.queue.escalations import StoredInbound

log = structlog.get_logger()

#: what is made of an SMS that no handler knows
IGNORED = "ignored"
#: so many at a time are asked for; fewer once an answer was too long
_PAGE = 200
_AT_ONCE = 50
#: what another node kept and did not handle is found after this
_LOOK_AGAIN_S = 30.0
_FIRST_LOOK_S = 1.0

#: says what it made of an SMS; empty: it is not for this one. Raises StoreError: it comes again
Handler = Callable[[InboundSms], Awaitable[str]]


class Inbox:
    """The duty of what comes in; every node handles what is kept, the first asks the gateways' inboxes."""

    idle_s = 1.0

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        clock: Clock,
        handlers: Sequence[Handler],
        is_first: Callable[[], bool] = lambda: True,
        count: Callable[[str, str], None] = lambda _gateway, _result: None,
        failpoint: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._store = store
        self._board = board
        self._clock = clock
        self._handlers = tuple(handlers)
        self._is_first = is_first
        self._count = count
        self._failpoint = failpoint
        #: gateway -> seconds between two looks into its inbox; exchanged by a reload
        self.polled: Mapping[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._pages: dict[str, int] = {}
        #: told that something was kept
        self.ring: Callable[[], None] = lambda: None
        #: what the last run left is looked for once the bridge has started
        self._is_empty = True
        self._look_again_s = clock.monotonic() + _FIRST_LOOK_S

    async def take(self, sms: InboundSms) -> bool:
        """Keep what a callback tells of; False where it is known. On disk when this returns. Raises StoreError."""
        is_new = await self._store.take_inbound([sms], via="callback", now=self._clock.now()) > 0
        if is_new:
            self._failpoint("after an SMS came in")
            self._something_came()
        return is_new

    def _something_came(self) -> None:
        self._is_empty = False
        self.ring()

    async def step(self) -> int:
        """Ask the inboxes that are due, then handle what is kept; return how many SMS were handled."""
        if self._is_first():
            for name in tuple(self.polled):
                await self._poll(name)
        return await self._handle()

    # -- asking
    async def _poll(self, name: str) -> None:
        carrier, now_s = self._board.carriers.get(name), self._clock.monotonic()
        if carrier is None or self._due_s.get(name, now_s) > now_s:
            return
        self._due_s[name] = now_s + self.polled[name]
        if self._board.is_shut(name) or self._board.silence_s(carrier):
            return
        cursor = await self._store.inbox_cursor(name)
        limit = self._pages.get(name, _PAGE)
        page = await self._ask(carrier, cursor, limit)
        if page is None:
            self._pages[name] = max(1, limit // 2)
            return
        self._pages[name] = _PAGE
        if page.last_id is None or page.last_id <= (cursor or 0):
            return
        now = self._clock.now()
        if await self._store.take_inbound(page.items, via="poll", now=now, cursor=(name, page.last_id)):
            self._failpoint("after an SMS came in")
            self._something_came()
        if page.count >= limit:
            self._due_s[name] = now_s  # there is more

    async def _ask(self, carrier: Carrier, cursor: int | None, limit: int) -> InboxPage | None:
        """Return what the inbox has; None where it could not be read."""
        carrier.pace.start()
        try:
            answer = await carrier.gateway.inbox(after_id=cursor, limit=limit)
        except Exception:
            log.exception("inbox broke", gateway=carrier.name)
            return None
        finally:
            carrier.pace.finish(too_many=False)
        if isinstance(answer, InboxPage):
            return answer
        if isinstance(answer, Suspended):
            await self._board.suspend(carrier.name, breaker.trouble_of(answer))
        elif isinstance(answer, Silence):
            await self._board.silence(carrier, answer.for_s)
        else:
            log.warning("inbox not read", gateway=carrier.name, code=answer.code, text=answer.text)
        return None

    # -- handling
    async def _handle(self) -> int:
        if self._is_empty and self._clock.monotonic() < self._look_again_s:
            return 0
        # said before it is asked, so that one who comes meanwhile is not forgotten
        self._is_empty = True
        self._look_again_s = self._clock.monotonic() + _LOOK_AGAIN_S
        kept = await self._store.unhandled_inbound(limit=_AT_ONCE)
        for one in kept:
            self._is_empty = False
            await self._handle_one(one)
        return len(kept)

    async def _handle_one(self, one: StoredInbound) -> None:
        sms, result = one.sms, ""
        for handler in self._handlers:
            if result := await handler(sms):
                break
        result = result or IGNORED
        self._failpoint("before an SMS is settled")
        if await self._store.settle_inbound(one.n, result=result):
            self._count(sms.gateway, result)
            log.info("inbound", gateway=sms.gateway, phone=sms.phone, to=sms.to, via=one.via, result=result)

"""The delivery with all its parts on a store in memory, driven by hand: no loop turns unless a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from mailbridge.carriers import read_receipt
from mailbridge.delivery.audit import Audit
from mailbridge.delivery.board import Board, Carrier
from mailbridge.delivery.dispatcher import Dispatcher
from mailbridge.delivery.questions import Questions, Receipts
from mailbridge.delivery.rush import Rush
from mailbridge.delivery.watch import Watch
from mailbridge.model.state import State
from mailbridge.queue.contract import Store, StoredMessage
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock
from tests.support.delivery import POLICY, ScriptedGateway
from tests.support.programs import until
from tests.support.queue import new_mail, new_message


class Post:
    """A dispatcher, its questions and receipts, one scripted gateway, one fake clock."""

    def __init__(self, *, store: Store | None = None, random: Callable[[], float] = lambda: 0.5, **policy: Any) -> None:
        self.clock = FakeClock()
        self.store = store or MemoryStore()
        self.gateway = ScriptedGateway()
        carrier = Carrier(self.gateway, policy=replace(POLICY, **policy), read=read_receipt, max_in_flight=10)
        self.board = Board([carrier], store=self.store, clock=self.clock, announce=lambda _before, _after: None)
        self._random = random
        self.dispatcher = self._build_dispatcher()
        self.audit = Audit(store=self.store, board=self.board)
        self.questions = Questions(
            store=self.store,
            board=self.board,
            clock=self.clock,
            wake=lambda: None,
            audit=self.audit,
            rush=Rush(self.clock),
        )
        self.receipts = Receipts(store=self.store, board=self.board, clock=self.clock, audit=self.audit)

    def _build_dispatcher(self) -> Dispatcher:
        return Dispatcher(
            store=self.store,
            board=self.board,
            watch=Watch(),
            clock=self.clock,
            random=self._random,
            node="n1",
            rush=Rush(self.clock),
        )

    async def put(self, number: int = 1, **fields: Any) -> str:
        """Queue a message to a number of its own, and return its id."""
        mail_id = f"{number:010}"
        fields = {
            "phone": f"+7999000{number:04}",
            "text": f"text {number}",
            "next_attempt_at": self.clock.now(),
        } | fields
        await self.store.put(new_mail(mail_id, new_message(f"{mail_id}.1", **fields), received_at=self.clock.now()))
        return f"{mail_id}.1"

    async def row(self, message_id: str) -> StoredMessage:
        """Return a message as it stands."""
        return (await self.store.get_messages(message_id))[0]

    async def state(self, message_id: str) -> State:
        """Return a message's state."""
        return (await self.row(message_id)).state

    async def events(self, message_id: str) -> list[str]:
        """Return the events of a message's history."""
        return [entry.event for entry in await self.store.history(message_id)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the dispatcher turn until the block ends."""
        running = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            await self.dispatcher.stop(0.05)
            await running

    async def send_all(self) -> None:
        """Let the dispatcher send what is due, and finish."""
        async with self.running():
            await self.settled()

    async def send_all_again(self) -> None:
        """One round of an unlucky message's life: sent, asked about until its quarantine ends, due again."""
        await self.restart().send_all()
        self.clock.advance(200)
        while await self.questions.step():
            self.clock.advance(200)

    def restart(self) -> Post:
        """Let a new dispatcher take over, as a stopped one does not begin again; what it remembers goes along."""
        old, self.dispatcher = self.dispatcher, self._build_dispatcher()
        self.dispatcher._parts, self.dispatcher._part_number = old._parts, old._part_number
        return self

    async def settled(self) -> None:
        """Wait until nothing is in flight and the dispatcher sleeps."""
        for _ in range(3):
            await self.clock.sleeping()
            await until(lambda: self.dispatcher.in_flight == 0)

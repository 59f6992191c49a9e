"""Escalations and inbound SMS as part of a ``MemoryStore``, beside ``memory.py``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mailbridge.model.inbound import InboundSms
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Detail, NewMail, OutgoingMail, PutResult
from mailbridge.queue.escalations import Advance, FoundEscalation, StoredInbound, Wanted
from mailbridge.queue.memory_counters import MemoryCounters
from mailbridge.queue.memory_escalations import Alarms


class MemoryAlarms(MemoryCounters):
    """What a ``MemoryStore`` does for escalations and inbound SMS; the rest of it is what stands abstract here."""

    _a: Alarms

    @abstractmethod
    def _put(self, mail: NewMail) -> PutResult: ...

    @abstractmethod
    def _apply_one(self, change: Change) -> bool: ...

    @abstractmethod
    def _note(self, id_: str, at: datetime, event: str, state: State, detail: Detail) -> None: ...

    @abstractmethod
    async def put_outgoing(self, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
        """Keep a mail for the mailer."""
        ...

    # -- escalations
    async def due_escalations(self, *, now: datetime, limit: int) -> Sequence[FoundEscalation]:
        """Return escalations that are due."""
        return self._a.due(now=now, limit=limit)

    async def find_escalations(self, wanted: Wanted) -> Sequence[FoundEscalation]:
        """Return what *wanted* asks for, newest first."""
        return self._a.find(wanted)

    async def is_anything_escalating(self) -> bool:
        """Tell whether anything is to be looked at."""
        return any(one.due_at is not None for one in self._a.escalations.values())

    async def advance(self, advance: Advance) -> bool:
        """Carry out a decision about an escalation."""
        if not self._a.advance(advance):
            return False
        if advance.mail is not None:
            self._put(advance.mail)
        for change in advance.changes:
            self._apply_one(change)
        at = advance.then.touched_at
        for note in advance.notes:
            if (row := self._a.messages.get(note.message_id)) is not None:
                self._note(row.id, at, note.event, row.state, note.detail)
        if advance.outgoing is not None:
            await self.put_outgoing(advance.outgoing, items={}, now=at)
        return True

    # -- inbound
    async def take_inbound(
        self, items: Sequence[InboundSms], *, via: str, now: datetime, cursor: tuple[str, int] | None = None
    ) -> int:
        """Keep inbound SMS, each once, and how far an inbox was read."""
        taken = sum(self._a.take(sms, via, now) for sms in items)
        if cursor is not None:
            self._a.cursors[cursor[0]] = cursor[1]
        return taken

    async def inbox_cursor(self, gateway: str) -> int | None:
        """Return how far a gateway's inbox was read."""
        return self._a.cursors.get(gateway)

    async def unhandled_inbound(self, *, limit: int) -> Sequence[StoredInbound]:
        """Return inbound SMS of which nothing was made yet."""
        return [one for _, one in sorted(self._a.inbound.items()) if not one.result][:limit]

    async def settle_inbound(self, n: int, *, result: str) -> bool:
        """Note what was made of an inbound SMS."""
        one = self._a.inbound.get(n)
        if one is None or one.result:
            return False
        self._a.inbound[n] = replace(one, result=result)
        return True

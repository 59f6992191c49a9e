"""The store in memory, watched and now and then failing: what the model test puts under the delivery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from mailbridge.errors import StoreError
from mailbridge.model.state import State
from mailbridge.queue.contract import Change, Detail, OutgoingMail, ReportItem, StoredMessage
from mailbridge.queue.memory import MemoryStore

#: calls that may fail; some may also fail after the fact, as a lost connection to a server makes it look
FALLIBLE = (
    "put", "claim", "apply", "due_questions", "find_attempts", "attempts_of", "expired", "next_due_at", "history",
    "save_gateway_state", "gateway_states", "changed_outside", "clock_set_back", "due_reports", "put_outgoing", "prune", "due_warnings",
    "recover",
)  # fmt: skip
AFTERWARDS = ("claim, afterwards", "apply, afterwards", "recover, afterwards")


class Died(BaseException):
    """The process ends here."""


class WatchedStore(MemoryStore):
    """Tells of every move, report and deletion; fails as often as told; a dead process writes nothing."""

    def __init__(
        self,
        *,
        on_move: Callable[[StoredMessage, StoredMessage, Change], None],
        on_given_up: Callable[[StoredMessage], None],
        on_told: Callable[[ReportItem], None],
        on_pruned: Callable[[StoredMessage], None],
    ) -> None:
        super().__init__()
        self._on_move = on_move
        self._on_given_up = on_given_up
        self._on_told = on_told
        self._on_pruned = on_pruned
        #: call -> how many more of it fail
        self.failing: dict[str, int] = {}
        self.is_dead = False
        self.has_changed_outside = False
        for name in FALLIBLE:
            setattr(self, name, self._fallible(name, getattr(self, name)))

    def _fallible(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **named: Any) -> Any:
            if self.is_dead:
                raise Died
            self._may_fail(name)
            result = await method(*args, **named)
            if result:  # something was written
                self._may_fail(f"{name}, afterwards")
            return result

        return call

    def _may_fail(self, name: str) -> None:
        if self.failing.get(name):
            self.failing[name] -= 1
            raise StoreError("the disk does not work")

    @property
    def rows(self) -> Mapping[str, StoredMessage]:
        """All messages by id, as they stand."""
        return self._t.messages

    def _apply_one(self, change: Change) -> bool:
        before = self._t.messages.get(change.message_id)
        if before is None or not super()._apply_one(change):
            return False
        after = self._t.messages[before.id]
        if after.state is State.UNKNOWN and before.state is not State.UNKNOWN:
            self._on_given_up(after)
        self._on_move(before, after, change)
        return True

    async def recover(self, *, node: str, now: datetime, keep: Collection[str] = ()) -> int:
        """Turn what was ``sending`` into ``unknown``."""
        rows = [row for row in self._t.messages.values() if row.state is State.SENDING and row.id not in keep]
        count = await super().recover(node=node, now=now, keep=keep)
        for row in rows:
            self._on_given_up(self._t.messages[row.id])
        return count

    async def put_outgoing(self, mail: OutgoingMail | None, *, items: Mapping[int, Detail], now: datetime) -> None:
        """Mark *items* as reported and keep the report."""
        fresh = [self._t.items[id_][1] for id_ in items if id_ in self._t.items and id_ not in self._t.reported]
        await super().put_outgoing(mail, items=items, now=now)
        for item in fresh:
            self._on_told(item)

    async def prune(self, *, before: datetime, sent_before: datetime, limit: int) -> int:
        """Delete old mails of which nothing more is expected."""
        rows = dict(self._t.messages)
        count = await super().prune(before=before, sent_before=sent_before, limit=limit)
        for id_ in rows.keys() - self._t.messages.keys():
            self._on_pruned(rows[id_])
        return count

    async def changed_outside(self) -> bool:
        """Tell once whether a verb wrote."""
        changed, self.has_changed_outside = self.has_changed_outside, False
        return changed

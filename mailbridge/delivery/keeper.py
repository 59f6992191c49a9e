"""The duties of time: lifetimes that end, warnings about delays, history that grows old, changes made by verbs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from mailbridge.clock import Clock
from mailbridge.config.model import Queue
from mailbridge.delivery.board import Board
from mailbridge.delivery.decide import decide_expiry, decide_warning, is_worth_waiting
from mailbridge.delivery.jumps import JumpWatch
from mailbridge.delivery.poll import GIVE_UP_SENT_S, LONGEST_UNKNOWN_S
from mailbridge.model.state import State
from mailbridge.queue.contract import Store, StoredMessage

log = structlog.get_logger()

_AT_ONCE = 500
_PRUNE_AT_ONCE = 200
_PRUNE_EVERY_S = 600.0


class Keeper:
    """Ends lifetimes, warns of delays, prunes the history, and notices what other processes did to the queue."""

    idle_s = 1.0

    def __init__(
        self,
        *,
        store: Store,
        board: Board,
        clock: Clock,
        settings: Queue,
        wake: Callable[[], None],
        alarm: Callable[[StoredMessage], None],
        is_first: Callable[[], bool] = lambda: True,
        is_in_time: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._board = board
        self._clock = clock
        self._settings = settings
        self._wake = wake
        self._alarm = alarm
        self._is_first = is_first
        #: the clock may be gone by: among several nodes it may be this one's that is wrong
        self._is_in_time = is_in_time
        self._pruned_at = clock.monotonic()
        self._jumps = JumpWatch(clock)
        #: the clock was set back, or another process wrote, and what follows from it is not done yet
        self._is_set_back = self._is_changed = False

    async def step(self) -> int:
        """Do what time asks for; return how many messages were touched."""
        await self._follow()
        # of several nodes one looks after time; each looks after itself
        if not self._is_first():
            return 0
        return await self._expire() + await self._warn() + await self._prune()

    async def _follow(self) -> None:
        """Take over what others did to the clock and the queue; what the store refuses now is done in a later turn."""
        self._is_set_back = self._jumps.look() < 0 or self._is_set_back
        if self._is_set_back and self._is_in_time():
            await self._store.clock_set_back(now=self._clock.now())
            await self._board.clock_set_back()
            self._is_set_back = False
            self._wake()
        self._is_changed = await self._store.changed_outside() or self._is_changed
        if self._is_changed:
            await self._board.follow()
            self._is_changed = False
            self._wake()

    async def _expire(self) -> int:
        now = self._clock.now()
        rows = {row.id: row for row in await self._store.expired(now=now, limit=_AT_ONCE)}
        # after a doubt each is asked once more before it is given up
        is_in_doubt = self._board.doubt.is_on(after_s=LONGEST_UNKNOWN_S)
        changes = []
        for row in rows.values():
            carrier = self._board.carriers.get(row.gateway or "")
            policy = carrier.policy if carrier else None
            if is_worth_waiting(row, policy=policy, now=now, is_in_doubt=is_in_doubt):
                continue
            changes.append(
                decide_expiry(
                    row, policy=policy, lifetime_s=self._settings.lifetime, now=now, trouble=self._board.trouble()
                )
            )
        if not changes:
            return 0
        for change, took in zip(changes, await self._store.apply(changes), strict=True):
            if not took:
                continue
            row = rows[change.message_id]
            log.warning(change.event, id=row.id, phone=row.message.phone, **change.detail)
            if change.to is State.HELD:
                self._alarm(row)
        return len(changes)

    async def _warn(self) -> int:
        if self._settings.delay_warning <= 0:
            return 0
        now = self._clock.now()
        before = now - timedelta(seconds=self._settings.delay_warning)
        rows = await self._store.due_warnings(created_before=before, limit=_AT_ONCE)
        if rows:
            trouble = self._board.trouble()
            await self._store.apply([decide_warning(row, now=now, trouble=trouble) for row in rows])
        return len(rows)

    async def _prune(self) -> int:
        """Delete old history in small steps: one every ten minutes, the next at once while there is more."""
        if self._clock.monotonic() - self._pruned_at < _PRUNE_EVERY_S:
            return 0
        before = await self._end_of_history()
        sent_before = min(before, self._clock.now() - timedelta(seconds=GIVE_UP_SENT_S))
        pruned = await self._store.prune(before=before, sent_before=sent_before, limit=_PRUNE_AT_ONCE)
        if pruned < _PRUNE_AT_ONCE:
            self._pruned_at = self._clock.monotonic()
        return pruned

    async def _end_of_history(self) -> datetime:
        """Return the moment before which finished mails go: by their age, or because there are too many."""
        by_age = self._clock.now() - timedelta(seconds=self._settings.keep_history)
        if not self._settings.max_history:
            return by_age
        by_number = await self._store.nth_newest_at(self._settings.max_history)
        return by_age if by_number is None else max(by_age, by_number)

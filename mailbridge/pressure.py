"""How the door leans against a queue that grows: first it answers slower, at the limit it refuses.

A client that has to wait sends less, and one that hears 452 keeps its mail: what we promised stays what we can carry.
How many wait is asked of the store every few seconds and counted on between; ``decide`` says what follows from it.
"""

from __future__ import annotations

import asyncio

import structlog

from mailbridge.clock import Clock
from mailbridge.errors import StoreError, TryLater
from mailbridge.model.reply import QUEUE_FULL
from mailbridge.queue.contract import Store

log = structlog.get_logger()

#: from this share of the limit on, answers are put off
SLOW_FROM = 0.8
#: so long at the limit, in seconds
LONGEST_DELAY_S = 1.0
#: counting takes no more than this share of the time: a count that took 50 ms is good for a second
_MOST_COUNTING = 0.05
_LONGEST_PAUSE_S = 60.0


def decide(waiting: int, coming: int, limit: int) -> float | None:
    """Return how long to put off the answer to a mail of *coming* messages, in seconds; None: refuse it. Pure.

    *limit* is ``queue.max_waiting``, 0 for none. A mail is refused when the limit is reached, not when it would be
    passed: else one with many recipients might never come in.
    """
    if not limit:
        return 0.0
    if waiting >= limit:
        return None
    over = (waiting + coming) / limit - SLOW_FROM
    return min(1.0, max(0.0, over / (1 - SLOW_FROM))) * LONGEST_DELAY_S


def refusal(waiting: int, limit: int) -> TryLater:
    """Return what a mail is refused with: the reply for its client, and words for a person."""
    return TryLater(QUEUE_FULL, f"{QUEUE_FULL} ({waiting} messages wait; queue.max_waiting is {limit})")


async def check_room(store: Store, *, coming: int, limit: int) -> None:
    """Ask *store* itself, for one who comes with messages of his own and no door. Raises: TryLater."""
    waiting = await store.count_waiting(up_to=limit) if limit else 0
    if decide(waiting, coming, limit) is None:
        raise refusal(waiting, limit)


class Pressure:
    """What is known of how many messages wait; a duty that keeps it so. *limit*: ``queue.max_waiting``."""

    idle_s = 5.0

    def __init__(self, *, limit: int, store: Store, clock: Clock) -> None:
        self._limit = limit
        self._store = store
        self._clock = clock
        #: as last counted, and what this node has kept since; of several nodes each learns of the others' by counting
        self._counted = 0
        #: admitted and not kept yet
        self._coming = 0
        self._asking = asyncio.Lock()
        self._ask_again_at_s = clock.monotonic()
        #: since when mails are refused, and how many were
        self._full_since_s: float | None = None
        self._refused = 0

    @property
    def fill(self) -> float:
        """How full the queue is: 1.0 at the limit; 0 where there is none."""
        return self._waiting / self._limit if self._limit else 0.0

    @property
    def _waiting(self) -> int:
        return self._counted + self._coming

    async def step(self) -> int:
        """Count again. Raises StoreError: then what was known stands."""
        if self._limit:
            await self._count()
        return 0

    async def admit(self, coming: int) -> float:
        """Let a mail of *coming* messages in; return how long its answer is to be put off, in seconds.

        The messages count as waiting from now on; ``settle`` says what became of them. Raises: TryLater.
        """
        if self._limit and decide(self._waiting, coming, self._limit) != 0.0:
            # nobody waits or is refused on old news: meanwhile many may have left
            try:
                await self._count()
            except StoreError as error:
                log.warning("store trouble", doing="pressure", because=str(error))
        delay_s = decide(self._waiting, coming, self._limit)
        if delay_s is None:
            raise self._refuse()
        self._coming += coming
        return delay_s

    def settle(self, *, admitted: int, stored: int) -> None:
        """Of so many messages that were admitted, so many are in the queue now."""
        self._coming -= admitted
        self._counted += stored

    def _refuse(self) -> TryLater:
        self._refused += 1
        if self._full_since_s is None:
            self._full_since_s = self._clock.monotonic()
            log.warning("queue full", waiting=self._waiting, limit=self._limit)
        return refusal(self._waiting, self._limit)

    async def _count(self) -> None:
        async with self._asking:
            began_s = self._clock.monotonic()
            if began_s < self._ask_again_at_s:
                return
            # whoever waited for this answer does not ask again, and least of all a store in trouble
            pause_s = self.idle_s
            try:
                # what is kept meanwhile is in the answer, but for a few until the next time
                self._counted = await self._store.count_waiting(up_to=self._limit)
                pause_s = min(_LONGEST_PAUSE_S, (self._clock.monotonic() - began_s) / _MOST_COUNTING)
            finally:
                self._ask_again_at_s = self._clock.monotonic() + pause_s
            self._note_room()

    def _note_room(self) -> None:
        """Say that mails are taken again when some have left: not at each that leaves and lets another in."""
        if self._full_since_s is None or self.fill >= SLOW_FROM:
            return
        log.warning(
            "queue takes mail again", waiting=self._waiting, limit=self._limit, refused=self._refused,
            for_s=round(self._clock.monotonic() - self._full_since_s),
        )  # fmt: skip
        self._full_since_s, self._refused = None, 0

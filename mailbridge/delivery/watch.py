"""Who waits for a verdict: an SMTP client in ``reply: verdict`` hears the gateway's answer through this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from mailbridge.model.outcome import Outcome


class Verdicts:
    """The first outcomes of one mail's messages, as they come in."""

    def __init__(self, message_ids: Iterable[str]) -> None:
        self._waiting = set(message_ids)
        self.outcomes: dict[str, Outcome] = {}
        self._complete = asyncio.Event()

    def note(self, message_id: str, outcome: Outcome) -> None:
        """Take in what became of one message's first attempt."""
        self._waiting.discard(message_id)
        self.outcomes[message_id] = outcome
        if not self._waiting:
            self._complete.set()

    def drop(self, message_ids: Iterable[str]) -> None:
        """Wait no longer for *message_ids*: nothing will be sent for them."""
        self._waiting.difference_update(message_ids)
        if not self._waiting:
            self._complete.set()

    def give_up(self) -> None:
        """Nobody can tell soon: wake the waiter with what there is."""
        self._complete.set()

    async def wait(self, limit_s: float) -> Mapping[str, Outcome]:
        """Wait until all first outcomes are in, at most *limit_s*; return those that are."""
        if self._waiting:
            try:
                async with asyncio.timeout(limit_s):
                    await self._complete.wait()
            except TimeoutError:
                pass
        return self.outcomes


class Watch:
    """Routes outcomes to whoever waits for them."""

    def __init__(self) -> None:
        self._by_message: dict[str, Verdicts] = {}
        self._is_closed = False

    @contextmanager
    def expect(self, message_ids: Iterable[str]) -> Iterator[Verdicts]:
        """Register interest in *message_ids* before they are stored; ends with the block."""
        ids = tuple(message_ids)
        verdicts = Verdicts(ids)
        self._by_message.update(dict.fromkeys(ids, verdicts))
        if self._is_closed:
            verdicts.give_up()
        try:
            yield verdicts
        finally:
            for id_ in ids:
                self._by_message.pop(id_, None)

    def note(self, message_id: str, outcome: Outcome) -> None:
        """Tell whoever waits for *message_id*, once its outcome is on disk."""
        verdicts = self._by_message.get(message_id)
        if verdicts is not None:
            verdicts.note(message_id, outcome)

    def give_up(self) -> None:
        """No gateway takes messages now: nobody needs to wait."""
        for verdicts in set(self._by_message.values()):
            verdicts.give_up()

    def close(self) -> None:
        """Let nobody wait any more, now or later: the bridge stops, and clients want their answers before that."""
        self._is_closed = True
        self.give_up()

"""The counters of limits in memory, beside ``memory.py``; decided by ``model.limits`` and ``rules.py`` as in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailbridge.model.limits import Over, Throttle, Wanted, dump_spent, load_spent, settle_all
from mailbridge.model.state import State
from mailbridge.queue import rules
from mailbridge.queue.contract import StoredMessage

#: as in ``statements.claims``
LOOKS = 5
_Held = tuple[StoredMessage, Over]


@dataclass(slots=True)
class Ledger:
    """The rows of limits."""

    counters: dict[str, str] = field(default_factory=dict)
    #: message id -> the budgets' counters it draws on
    charges: dict[str, list[str]] = field(default_factory=dict)

    def settle(self, id_: str, before: rules.Standing, after: rules.Standing) -> None:
        """Book what a change tells of parts and price."""
        names = self.charges.get(id_, [])
        if after.state is State.FAILED:
            self.charges.pop(id_, None)
        if (one := rules.settlement(before, after)) is not None and names:
            self.counters |= settle_all({name: self.counters[name] for name in names}, [(name, one) for name in names])


class Gate:
    """What a claim asks about limits."""

    def __init__(self, ledger: Ledger, throttle: Throttle, now: datetime) -> None:
        self._ledger = ledger
        self._throttle = throttle
        self._now = now
        self._wanted: dict[str, Wanted] = {}
        #: what was put off so far
        self.held: list[_Held] = []

    def sift(
        self, rows: Sequence[StoredMessage], users: Mapping[str, str | None]
    ) -> tuple[list[StoredMessage], list[_Held]]:
        """Return those of *rows* that may leave now, and those that a limit puts off."""
        self._wanted = {
            row.id: rules.wanted(row, users[row.mail_id]) for row in rows if row.id not in self._ledger.charges
        }
        held = self._throttle.hold(list(self._wanted.values()), self._ledger.counters, self._now)
        put_off = [(row, held[row.id]) for row in rows if row.id in held]
        self.held += put_off
        return [row for row in rows if row.id not in held], put_off

    def charge(self, leaving: Sequence[StoredMessage]) -> None:
        """Count those of *leaving* that leave for the first time."""
        fresh = [self._wanted[row.id] for row in leaving if row.id in self._wanted]
        self._ledger.counters |= self._throttle.charge(fresh, self._ledger.counters, self._now)
        for one in fresh:
            self._ledger.charges[one.id] = [key for _, key in self._throttle.charged_to(one, self._now)]


class MemoryCounters:
    """The counters' part of a ``MemoryStore``."""

    def __init__(self) -> None:
        self._l = Ledger()

    async def counters(self, keys: Collection[str]) -> Mapping[str, str]:
        """Return the texts of those of the counters *keys* that were ever charged."""
        return {key: state for key in keys if (state := self._l.counters.get(key, ""))}

    async def counters_named(self, prefix: str) -> Mapping[str, str]:
        """Return all counters whose names begin with *prefix*."""
        return {key: state for key, state in self._l.counters.items() if key.startswith(prefix)}

    async def keep_note(self, name: str, text: str, *, until: datetime) -> None:  # noqa: ARG002 - nothing is forgotten
        """Keep a text beside the counters."""
        self._l.counters[name] = text

    async def note_told(self, key: str, percent: int) -> bool:
        """Note that the operator is told so much of a budget is used up; False when that was noted before."""
        spent = load_spent(self._l.counters.get(key, ""))
        if key not in self._l.counters or spent.told >= percent:
            return False
        self._l.counters[key] = dump_spent(spent.tell(percent))
        return True

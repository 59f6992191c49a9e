"""The part of the store's contract that is about the counters of limits; ``put`` and ``claim`` count by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol


class Counters(Protocol):
    """What may be asked of the counters, by their names (``model.limits`` makes names and reads texts)."""

    async def counters(self, keys: Collection[str]) -> Mapping[str, str]:
        """Return the texts of those of the counters *keys* that were ever charged (``model.limits`` reads them)."""
        ...

    async def counters_named(self, prefix: str) -> Mapping[str, str]:
        """Return all counters whose names begin with *prefix*."""
        ...

    async def keep_note(self, name: str, text: str, *, until: datetime) -> None:
        """Keep *text* as *name* among the counters, in place of what was there; forgotten some time after *until*."""
        ...

    async def note_told(self, key: str, percent: int) -> bool:
        """Note that the operator is told so much of the budget *key* is used up; False when that was noted before."""
        ...

"""What a store does beside, where several daemons share it: news, signs of life, and what becomes of the dead.

As in ``contract.py`` each call is one transaction, and nothing but ``StoreError`` leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a node hears of the others with its own sign of life."""

    #: that live, this one included
    nodes: int = 1
    #: from 0, by the time they came: the first does what one of them is to do
    place: int = 0
    #: it was not among them before, or was silent for so long that it lost its place
    is_new: bool = False
    #: how far the clock of this node is ahead of that of the first
    ahead_s: float = 0.0
    #: gateway -> seconds for which it wants to hear nothing, whichever node it told
    silences: Mapping[str, float] = field(default_factory=dict)
    #: messages of dead nodes that became ``unknown`` with this
    taken_over: int = 0


class Cluster(Protocol):
    """What a store that several daemons share does beside."""

    def on_news(self, ring: Callable[[], None]) -> None:
        """Have *ring* called when another process has made something due.

        Nothing may depend on it: whoever waits looks again after a while by himself.
        """
        ...

    async def beat(self, *, node: str, now: datetime, lease_s: float, take_over: bool) -> Pulse:
        """Give a sign of life of *node*, and hear of the others.

        Who gave none for *lease_s* is dead. With *take_over* the first of the living turns what the dead had in
        ``sending`` into ``unknown``, never ``queued``.
        """
        ...

    async def silence(self, *, gateway: str, seconds: float) -> None:
        """Have all nodes leave *gateway* alone for so long."""
        ...

    async def leave(self, *, node: str, now: datetime) -> None:
        """Forget *node*: it has ended. What it still had in ``sending`` becomes ``unknown``."""
        ...

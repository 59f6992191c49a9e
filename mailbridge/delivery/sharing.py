"""How what is due is shared out among the gateways that take messages now.

Pure, called inside the claiming transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mailbridge.delivery.batch import plan_batches
from mailbridge.delivery.board import Carrier
from mailbridge.delivery.routes import choose_way
from mailbridge.queue.contract import Assignment, StoredMessage


@dataclass(frozen=True, slots=True)
class Opening:
    """A gateway that takes messages now."""

    carrier: Carrier
    #: how many requests may start
    room: int
    #: how many messages each may hold
    size: int
    #: code of the trouble it is on trial for; empty where it is well
    trouble: str


class Sharing:
    """One claim's plan, and what it found no way for."""

    def __init__(
        self,
        openings: Sequence[Opening],
        ways_of: Callable[[StoredMessage], Sequence[str]],
        *,
        parts: Mapping[str, int],
        one_alone: bool = False,
    ) -> None:
        self._openings = {one.carrier.name: one for one in openings}
        self._ways_of = ways_of
        self._parts = parts
        #: one request and no more, for a rush
        self._one_alone = one_alone
        #: rows none of whose gateways takes messages now
        self.stuck: list[StoredMessage] = []

    def plan(self, rows: Sequence[StoredMessage], next_id: Callable[[], int]) -> list[Assignment]:
        """Group *rows*, oldest first, into requests; the rest stay queued."""
        shares: dict[str, list[StoredMessage]] = {}
        self.stuck = []
        for row in rows:
            name = choose_way(self._ways_of(row), self._openings)
            if name is None:
                self.stuck.append(row)
            else:
                shares.setdefault(name, []).append(row)
        out: list[Assignment] = []
        # the gateway of the oldest first
        for name, share in shares.items():
            opening = self._openings[name]
            room = min(opening.room, 1 - len(out)) if self._one_alone else opening.room
            if room > 0:
                out += self._requests(opening, share, next_id, room)
        return out

    def _requests(
        self, opening: Opening, rows: Sequence[StoredMessage], next_id: Callable[[], int], room: int
    ) -> list[Assignment]:
        if trouble := opening.trouble:
            # those that met this trouble already must not keep the others from passing
            rows = sorted(rows, key=lambda row: row.error is not None and row.error.code == trouble)
        return plan_batches(
            rows, next_id, gateway=opening.carrier.gateway, requests=room, size=opening.size, parts=self._parts
        )

"""Which due messages leave together, and through whom; pure, called inside the claiming transaction.

Grouped by everything that must be equal in one request (``Gateway.batch_key``), no phone twice in one request
(status is kept per phone and id), at most *size* messages in one and at most the free slots in all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from mailbridge.gateway.contract import Gateway
from mailbridge.model.phone import Phone
from mailbridge.queue.contract import Assignment, StoredMessage


@dataclass(slots=True)
class _Group:
    wanted_id: str | None
    room: int
    message_ids: list[str] = field(default_factory=list)
    phones: set[Phone] = field(default_factory=set)

    def takes(self, row: StoredMessage) -> bool:
        return len(self.message_ids) < self.room and row.message.phone not in self.phones

    def add(self, row: StoredMessage) -> None:
        self.message_ids.append(row.id)
        self.phones.add(row.message.phone)


def plan_batches(
    rows: Sequence[StoredMessage],
    next_id: Callable[[], int],
    *,
    gateway: Gateway,
    requests: int,
    size: int,
    parts: Mapping[str, int],
) -> list[Assignment]:
    """Group *rows* (oldest first) into at most *requests* requests of at most *size* messages for *gateway*.

    The rest stay queued.
    *parts* maps message ids to the half of a refused batch they belong to: halves never share a request.
    A message with a client's own id uses it for its first attempt, alone.
    """
    newest: dict[Hashable, _Group] = {}
    groups: list[_Group] = []
    for row in rows:
        wanted_id = row.message.wanted_id if row.attempts == 0 else None
        key = None if wanted_id else gateway.batch_key(row.message)
        full_key = None if key is None else (key, parts.get(row.id))
        group = None if full_key is None else newest.get(full_key)
        if group is None or not group.takes(row):
            if len(groups) >= requests:
                continue
            group = _Group(wanted_id, size if full_key is not None else 1)
            groups.append(group)
            if full_key is not None:
                newest[full_key] = group
        group.add(row)
    return [
        Assignment(
            gateway=gateway.name,
            gateway_id=group.wanted_id or str(next_id()),
            message_ids=tuple(group.message_ids),
        )
        for group in groups
    ]

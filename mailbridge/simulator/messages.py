"""What the simulator accepted: one value per message, and a store that remembers the newest.

A message's life is written down when it is accepted, as steps in time; its status is read off those steps,
so nothing has to run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

#: ``type`` codes, smsc-api.md section 4.4
TYPES: dict[str, int] = {
    "sms": 0, "flash": 1, "bin": 2, "push": 3, "hlr": 4, "ping": 5,
    "mms": 6, "call": 7, "mail": 8, "viber": 10, "soc": 12,
}  # fmt: skip

NOT_FOUND = -3
QUEUED = -1
HANDED = 0
STOPPED = -2
#: statuses that are known without asking an operator
REFUSALS = frozenset({22, 23, 24, 25})


@dataclass(frozen=True, slots=True)
class Step:
    """From *at* (Unix time) on, the message has this status."""

    at: float
    status: int
    err: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message to one phone."""

    #: the simulator's own number, unlike ``message_id`` never given twice
    serial: int
    login: str
    message_id: str
    #: digits only
    phone: str
    kind: str
    sender: str
    #: as the handset shows it
    text: str
    #: as the request had it
    mes: str = field(repr=False)
    comment: str = ""
    translit: int = 0
    alphabet: str
    parts: int
    cost: Decimal
    received_at: float
    send_at: float
    valid_s: float
    steps: tuple[Step, ...]
    #: until then status.php does not know it
    unseen_until: float = 0.0
    #: names of the files that came with it
    files: tuple[str, ...] = ()

    def step_at(self, now: float) -> Step:
        """Return the step *now* (Unix time) falls into."""
        for step in reversed(self.steps):
            if step.at <= now:
                return step
        return self.steps[0]


def life_of(
    send_at: float,
    *,
    final_status: int | None,
    err: int,
    handed_after_s: float,
    final_after_s: float,
    stays_queued: bool,
) -> tuple[Step, ...]:
    """Return the steps of a message: -1, 0, final; refusals skip 0 and come early."""
    queued = Step(0.0, QUEUED, 0)
    handed = Step(send_at + handed_after_s, HANDED, 0)
    if final_status is None:
        return (queued,) if stays_queued else (queued, handed)
    if final_status in REFUSALS:
        return (queued, Step(send_at + handed_after_s, final_status, err))
    return (queued, handed, Step(send_at + final_after_s, final_status, err))


class MessageStore:
    """The newest *keep* messages, found by (login, phone, id); the newest of equals is found."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._all: OrderedDict[int, Stored] = OrderedDict()
        self._by_address: dict[tuple[str, str, str], int] = {}
        self._serial = 0

    def next_serial(self) -> int:
        """Return a number never returned before."""
        self._serial += 1
        return self._serial

    def add(self, message: Stored) -> None:
        """Remember *message*, forgetting the oldest if there are too many."""
        self._all[message.serial] = message
        self._by_address[message.login, message.phone, message.message_id] = message.serial
        while len(self._all) > self._keep:
            self.remove(next(iter(self._all.values())))

    def find(self, login: str, phone: str, message_id: str) -> Stored | None:
        """Return the newest message of that address."""
        serial = self._by_address.get((login, phone, message_id))
        return None if serial is None else self._all[serial]

    def replace(self, message: Stored) -> None:
        """Put *message* in the place of the one with its serial number, if that is still remembered."""
        if message.serial in self._all:
            self._all[message.serial] = message

    def of_request(self, login: str, message_id: str) -> list[Stored]:
        """Return the messages of one request, newest first."""
        return [m for m in self.newest() if m.login == login and m.message_id == message_id]

    def remove(self, message: Stored) -> None:
        """Forget *message*."""
        self._all.pop(message.serial, None)
        address = (message.login, message.phone, message.message_id)
        if self._by_address.get(address) == message.serial:
            del self._by_address[address]

    def newest(self, limit: int | None = None) -> Iterator[Stored]:
        """Yield messages, newest first."""
        return islice(reversed(self._all.values()), limit)

    def clear(self) -> None:
        """Forget all messages."""
        self._all.clear()
        self._by_address.clear()

    def __len__(self) -> int:
        return len(self._all)

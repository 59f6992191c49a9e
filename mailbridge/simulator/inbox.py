"""Messages from handsets to the account, as ``get.php?get_answers=1`` lists them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One SMS somebody sent to a number of ours."""

    serial: int
    login: str
    phone: str
    mes: str
    to: str
    received_at: float


class Answers:
    """The newest *keep* inbound messages."""

    def __init__(self, keep: int) -> None:
        self._all: deque[Inbound] = deque(maxlen=keep)
        self._serial = 7000

    def add(self, *, login: str, phone: str, mes: str, to: str, now: float) -> Inbound:
        """Record an inbound message received *now* (Unix time)."""
        self._serial += 1
        inbound = Inbound(serial=self._serial, login=login, phone=phone, mes=mes, to=to, received_at=now)
        self._all.append(inbound)
        return inbound

    def of(self, login: str, *, after: int, since: float) -> Iterator[Inbound]:
        """Yield one account's messages with a number above *after*, received at *since* or later, oldest first."""
        return (item for item in self._all if item.login == login and item.serial > after and item.received_at >= since)

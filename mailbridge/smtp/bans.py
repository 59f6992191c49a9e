"""Addresses that got too many passwords wrong, over all their sessions, and for how long they may not try again.

In memory: a restart forgives. It must not read a clock: the time is handed in.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

#: how many addresses are remembered; beyond it the one that failed first is forgotten
_ADDRESSES_MAX = 10_000
#: who has one IPv6 address has the whole net
_V6_PREFIX = 64


@dataclass(slots=True)
class _Record:
    first_at: float
    failures: int = 0
    banned_until: float = 0.0


class Bans:
    """Counts failed sign-ins: *limit* of them within *ban_s* seconds ban the address for *ban_s*; 0 never does."""

    def __init__(self, *, limit: int, ban_s: float) -> None:
        self._limit = limit
        self._ban_s = ban_s
        self._records: dict[str, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def is_banned(self, address: str, now: float) -> bool:
        """Tell whether *address* may not sign in at *now*, in seconds of a clock that only goes forward."""
        record = self._records.get(_key(address)) if self._records else None
        return record is not None and now < record.banned_until

    def count(self, address: str, now: float) -> bool:
        """Note a wrong password; return True when it is the one that bans *address*."""
        if not self._ban_s:
            return False
        key = _key(address)
        record = self._records.get(key)
        if record is None or now - record.first_at >= self._ban_s:
            self._records.pop(key, None)
            record = self._records[key] = _Record(first_at=now)
            if len(self._records) > _ADDRESSES_MAX:
                del self._records[next(iter(self._records))]
        record.failures += 1
        if record.failures != self._limit:
            return False
        self.ban(address, now)
        return True

    def ban(self, address: str, now: float) -> None:
        """Ban *address* from *now* on, whatever was counted."""
        key = _key(address)
        # the record is as old as its ban, so both end together
        self._records[key] = _Record(first_at=now, failures=self._limit, banned_until=now + self._ban_s)
        if len(self._records) > _ADDRESSES_MAX:
            del self._records[next(iter(self._records))]


def _key(address: str) -> str:
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address, _V6_PREFIX), strict=False))

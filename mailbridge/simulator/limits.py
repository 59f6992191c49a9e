"""The gateway's limits as counters over time (smsc-api.md section 1.7). Words and codes are the methods' affair."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable


class RateLimit:
    """At most *limit* events of a key within *window_s*; None never refuses. Times are monotonic seconds."""

    def __init__(self, limit: int | None, window_s: float = 60.0) -> None:
        self._limit = limit
        self._window_s = window_s
        self._events: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def full(self, key: Hashable, now: float) -> bool:
        """Tell whether one more event of *key* would be too many."""
        if self._limit is None:
            return False
        events = self._events.get(key)
        if events is None:
            return self._limit <= 0
        while events and events[0] <= now - self._window_s:
            events.popleft()
        return len(events) >= self._limit

    def add(self, key: Hashable, now: float) -> None:
        """Count one event of *key*, and forget keys that have had none for long."""
        if self._limit is None:
            return
        self._events.setdefault(key, deque(maxlen=max(self._limit, 1))).append(now)
        self._events.move_to_end(key)
        while (oldest := next(iter(self._events))) != key and self._is_over(oldest, now):
            del self._events[oldest]

    def _is_over(self, key: Hashable, now: float) -> bool:
        # `full` may have emptied it for a request that another key's limit refused
        events = self._events[key]
        return not events or events[-1] <= now - self._window_s

    def take(self, key: Hashable, now: float) -> bool:
        """Count one event of *key* if it is allowed; tell whether it was."""
        if self.full(key, now):
            return False
        self.add(key, now)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._events.clear()


class Concurrency:
    """How many requests of each login are being answered, and the most there ever were."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._running: Counter[str] = Counter()
        self.peak = 0

    def enter(self, login: str) -> bool:
        """Count a request in; tell whether it is within the limit. ``leave`` must follow in any case."""
        self._running[login] += 1
        self.peak = max(self.peak, self._running[login])
        return self._limit is None or self._running[login] < self._limit

    def leave(self, login: str) -> None:
        """Count a request out."""
        self._running[login] -= 1

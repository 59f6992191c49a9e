"""How many requests may be in flight at one gateway: halved when it says "too many", grown back slowly."""

from __future__ import annotations

from dataclasses import dataclass, field

#: answers without complaint before the limit grows by one
_GROW_AFTER = 20


@dataclass(slots=True)
class Pace:
    """The limit of requests in flight at one gateway (additive increase, multiplicative decrease)."""

    most: int
    in_flight: int = 0
    limit: int = field(init=False)
    _good: int = 0

    def __post_init__(self) -> None:
        self.limit = self.most

    @property
    def free(self) -> int:
        """How many more requests may start now."""
        return max(0, self.limit - self.in_flight)

    def start(self) -> None:
        """A request starts."""
        self.in_flight += 1

    def finish(self, *, too_many: bool) -> None:
        """A request ended; *too_many*: the gateway complained about the number of them."""
        self.in_flight -= 1
        if too_many:
            self.limit, self._good = max(1, self.limit // 2), 0
            return
        self._good += 1
        if self._good >= _GROW_AFTER and self.limit < self.most:
            self.limit, self._good = self.limit + 1, 0

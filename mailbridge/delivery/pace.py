"""How much a gateway is given at once: how many requests are in flight, and how many messages stand in one.

Requests are halved in number when it says "too many", and grown back slowly. Requests of many messages are halved in
size when no usable answer comes: a gateway that is slow with a few of them must not look like a dead one, and whoever
shares a request with a message that spoils it shares its wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: answers without complaint before the limit of requests grows by one
_GROW_AFTER = 20


@dataclass(slots=True)
class Pace:
    """The limits of one gateway: additive increase of requests, multiplicative decrease; sizes double and halve."""

    most: int
    #: most messages in one request, ever
    most_size: int = 1
    in_flight: int = 0
    #: requests in flight, at most
    limit: int = field(init=False)
    #: messages in one request, at most
    size: int = field(init=False)
    _good: int = 0

    def __post_init__(self) -> None:
        self.limit = self.most
        self.size = self.most_size

    @property
    def free(self) -> int:
        """How many more requests may start now."""
        return max(0, self.limit - self.in_flight)

    def allow(self, most: int) -> None:
        """Let *most* requests be in flight from now on: a share of what all nodes may have."""
        is_at_most = self.limit >= self.most
        self.most = most
        self.limit = most if is_at_most else min(self.limit, most)

    def start(self) -> None:
        """A request starts."""
        self.in_flight += 1

    def finish(self, *, too_many: bool, sent: int = 0, is_answered: bool = True) -> None:
        """A request ended. *too_many*: the gateway complained about the number of them.

        *sent*: how many messages left in it, 0 for a question; *is_answered*: a usable answer came to it. A lone
        message's silence says nothing about the size of requests, nor does an answer to one that was not full.
        """
        self.in_flight -= 1
        if sent > 1 and not is_answered:
            self.size = min(self.size, sent // 2)
        elif is_answered and sent >= self.size:
            self.size = min(self.size * 2, self.most_size)
        if too_many:
            self.limit, self._good = min(self.most, max(1, self.limit // 2)), 0
            return
        self._good += 1
        if self._good >= _GROW_AFTER and self.limit < self.most:
            self.limit, self._good = self.limit + 1, 0

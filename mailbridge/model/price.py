"""What one part of a message to some numbers costs, as a gateway last said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mailbridge.model.phone import Phone

#: the plus, the country and the operator's code: numbers that begin alike cost alike
_PREFIX_CHARS = 5
#: a price older than this is asked for again
FRESH_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPrice:
    """The price of one part, and when it was heard."""

    cost: Decimal
    currency: str | None
    at: datetime

    def of(self, parts: int) -> str:
        """Return what *parts* cost, in words: ``2.80 RUB``."""
        return f"{self.cost * parts} {self.currency or ''}".strip()

    def is_fresh(self, now: datetime) -> bool:
        """Tell whether it need not be asked again; one from a clock that was set back since must be."""
        return now - FRESH_FOR < self.at <= now


def prefix_of(phone: Phone) -> str:
    """Return what numbers that cost alike begin with."""
    return phone[:_PREFIX_CHARS]

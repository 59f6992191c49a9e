"""Sums of prices, for every store alike. Money is exact: rows of one price are counted, and multiplied here. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from mailbridge.queue.contract import Spend


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Some messages of one gateway and one price."""

    gateway: str
    currency: str | None
    price: Decimal
    messages: int
    parts: int


def sum_prices(priced: Iterable[Priced]) -> list[Spend]:
    """Sum by gateway and currency, in that order."""
    sums: dict[tuple[str, str], Spend] = {}
    for one in priced:
        key = (one.gateway, one.currency or "")
        sum_ = sums.get(key) or Spend(
            gateway=one.gateway, currency=one.currency, amount=Decimal(0), messages=0, parts=0
        )
        sums[key] = replace(
            sum_,
            amount=sum_.amount + one.price * one.messages,
            messages=sum_.messages + one.messages,
            parts=sum_.parts + one.parts,
        )
    return [sums[key] for key in sorted(sums)]

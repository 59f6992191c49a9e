"""Which gateway carries a message: the first of its route that takes messages now. Pure.

A message goes on to the next gateway where one is suspended or not reached, or says that it has no way to that number;
never where one refused the number, the text or the sender, for another would be asked to do what is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mailbridge.model.outcome import ErrorClass
from mailbridge.queue.contract import StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Numbers that begin with one of *prefixes* (all, where there are none), and their gateways, best first."""

    prefixes: tuple[str, ...] = ()
    gateways: tuple[str, ...]

    def takes(self, phone: str) -> bool:
        """Tell whether *phone* is one of its numbers."""
        return not self.prefixes or phone.startswith(self.prefixes)


def ways_of(row: StoredMessage, routes: Sequence[Route], gateways: Sequence[str]) -> tuple[str, ...]:
    """Return the gateways that may carry *row*, best first; *gateways* are all there are, in their order.

    Where the last one tried has no way to the number, those after it are left; none of them: all, for the configuration
    is another one since.
    """
    route = next((route for route in routes if route.takes(row.message.phone)), None)
    ways = tuple(name for name in (gateways if route is None else route.gateways) if name in gateways)
    return _after(row, ways) or ways if _has_no_way(row) else ways


def next_ways(row: StoredMessage, routes: Sequence[Route], gateways: Sequence[str]) -> tuple[str, ...]:
    """Return the gateways after the one that *row* was given to last; empty where it was the last one."""
    route = next((route for route in routes if route.takes(row.message.phone)), None)
    return _after(row, tuple(name for name in (gateways if route is None else route.gateways) if name in gateways))


def choose_way(ways: Sequence[str], open_: Collection[str]) -> str | None:
    """Return the first of *ways* that takes messages now."""
    return next((name for name in ways if name in open_), None)


def _has_no_way(row: StoredMessage) -> bool:
    return row.error is not None and row.error.error_class is ErrorClass.NO_ROUTE


def _after(row: StoredMessage, ways: tuple[str, ...]) -> tuple[str, ...]:
    return ways[ways.index(row.gateway) + 1 :] if row.gateway in ways else ()

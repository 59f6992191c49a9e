"""What is to become of each number of a request, before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mailbridge.simulator.magic import ORDINARY, USUAL_ERR, Fate, Series, fate_of
from mailbridge.simulator.submission import Item


@dataclass(frozen=True, slots=True)
class Ruled:
    """An item and what is to become of it; *refusal* is a status of ``phones[]``."""

    item: Item
    fate: Fate
    refusal: int | None

    @property
    def err(self) -> int:
        """The error that comes with the refusal."""
        return USUAL_ERR.get(self.refusal or 0, 0)


def rule(item: Item, *, magic: bool) -> Ruled:
    """Return what the number of *item* asks for."""
    if not item.number.good:
        return Ruled(item, ORDINARY, 22)
    fate = fate_of(item.number.digits) if magic else ORDINARY
    return Ruled(item, fate, fate.argument if fate.series is Series.REFUSED else None)


def first(ruled: Sequence[Ruled], *series: Series) -> Fate | None:
    """Return the first number's fate that is of one of *series*."""
    return next((one.fate for one in ruled if one.fate.series in series), None)

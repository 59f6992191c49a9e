"""Local time: of a named zone, or of the machine. Pure, but for the machine's own zone, which is the process's."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


class Zone:
    """A time zone by its name; the empty name is the machine's own."""

    def __init__(self, name: str) -> None:
        self._zone = ZoneInfo(name) if name else None

    def local(self, at: datetime) -> datetime:
        """Return what clocks on the wall show at *at*, without a zone."""
        return at.astimezone(self._zone).replace(tzinfo=None)

    def instant(self, local: datetime) -> datetime:
        """Return when clocks on the wall show *local*, in UTC.

        An hour that comes twice means its first time; one that is left out means as much later.
        """
        if self._zone is None:
            return local.replace(fold=0).astimezone(UTC)
        return local.replace(tzinfo=self._zone, fold=0).astimezone(UTC)

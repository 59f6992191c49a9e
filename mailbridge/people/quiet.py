"""When somebody is not to be woken. Pure: told the time, and whether a day is a holiday."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from mailbridge.config.check_people import WEEKDAYS, parse_days, parse_time_of_day
from mailbridge.config.model_people import QuietHours
from mailbridge.people.zones import Zone

_DAY = timedelta(days=1)
#: one quiet time that follows another is as one; but an alert waits no longer than this
LONGEST = timedelta(days=14)

IsHoliday = Callable[[date], bool]


def no_holiday(_day: date) -> bool:
    """Tell that no day is a holiday."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """One section of quiet hours."""

    name: str
    #: since midnight of a day; *ends* is after it, maybe on the next day
    begins: timedelta
    ends: timedelta
    #: the weekdays they begin on, Monday 0
    days: frozenset[int]
    zone: Zone
    #: severities that break through
    passes: frozenset[str]
    is_holiday: IsHoliday = no_holiday

    def until(self, at: datetime) -> datetime | None:
        """Return when the quiet time ends that holds at *at*; None where none does."""
        today = self.zone.local(at).date()
        ends = [
            ends_at
            for day in (today - _DAY, today)
            for begins_at, ends_at in self._of_day(day)
            if begins_at <= at < ends_at
        ]
        return max(ends, default=None)

    def _of_day(self, day: date) -> Iterable[tuple[datetime, datetime]]:
        midnight = datetime.combine(day, time())
        if day.weekday() in self.days:
            yield self.zone.instant(midnight + self.begins), self.zone.instant(midnight + self.ends)
        if self.is_holiday(day):
            yield self.zone.instant(midnight), self.zone.instant(midnight + _DAY)


def quiet_until(hours: Sequence[Quiet], at: datetime) -> datetime | None:
    """Return when nothing of *hours* holds any more that holds at *at* or follows at once; None where nothing does."""
    end = at
    while end - at < LONGEST:
        ends = [until for quiet in hours if (until := quiet.until(end)) is not None]
        if not ends:
            break
        end = max(ends)
    return None if end == at else min(end, at + LONGEST)


def build_quiet(name: str, settings: QuietHours) -> Quiet:
    """Return the quiet hours that *settings* describe."""
    begins, ends = parse_time_of_day(settings.from_), parse_time_of_day(settings.to)
    return Quiet(
        name=name,
        begins=begins,
        ends=ends if ends > begins else ends + _DAY,
        days=parse_days(settings.days) if settings.days else frozenset(range(len(WEEKDAYS))),
        zone=Zone(settings.timezone),
        passes=frozenset(word.lower() for word in settings.pass_),
        is_holiday=_holidays(settings.holidays) if settings.holidays else no_holiday,
    )


def _holidays(place: str) -> IsHoliday:
    import holidays  # noqa: PLC0415 - it is large, and few need it

    country, _, subdivision = place.partition("-")
    calendar = holidays.country_holidays(country, subdiv=subdivision or None)
    return lambda day: day in calendar

"""The part of the typed model that says who is meant, and when and how they are to be told.

Part of ``model.py``, and held to the same.
"""

from __future__ import annotations

from pydantic import Field

from mailbridge.config.sections import DAY, SECRET_URL, Duration, Section, Words


class Person(Section):
    """Somebody alerts go to."""

    phone: str = Field(description="The number, with its plus: `+79991234567`. It is allowed by standing here.")
    quiet: Words = Field(default=[], description="Names of `quiet_hours` that hold for this number.")


class Alias(Section):
    """A name that mail may be sent to."""

    shorthand = "to"

    to: Words = Field(
        default=[],
        description="People, numbers and other aliases. May stand alone: `admins: [anna, boris]`.",
    )
    rota: str = Field(default="", description="The rota that says who it is now, instead of `to`.")
    quiet: Words = Field(default=[], description="Names of `quiet_hours` that hold for mail to this name.")
    escalation: str = Field(
        default="", description="The `escalation` of mail to this name. Empty: the one called as it or its rota."
    )


class Rota(Section):
    """Whose turn it is: a rotation, or a calendar."""

    start: str = Field(default="", description="When the first of `members` begins, `2026-01-05 09:00`.")
    every: Duration = Field(
        default=7 * DAY,
        ge=3600,
        le=366 * DAY,
        description="How long a turn is. Turns change at the same time of day all the year.",
    )
    members: Words = Field(default=[], description="People, numbers or aliases, in the order of their turns.")
    timezone: str = Field(default="", description="Such as `Europe/Moscow`. Empty: the machine's own.")
    ics: str = Field(
        default="",
        repr=False,
        json_schema_extra=SECRET_URL,
        description="An iCalendar file or its `https://` address, instead of `start` and `members`. "
        "An event's SUMMARY is the name of who is on duty while it lasts.",
    )
    refresh: Duration = Field(default=600.0, ge=10, le=7 * DAY, description="How often `ics` is read anew.")
    otherwise: Words = Field(
        default=[],
        description="Who it is while the calendar names nobody. Empty: whoever was on duty last.",
    )


class QuietHours(Section):
    """When somebody is not to be woken: what comes then goes out as one message when they end."""

    from_: str = Field(alias="from", description="The time of day they begin, `23:00`.")
    to: str = Field(description="The time of day they end, `07:00`; that of the next day where it is not later.")
    days: str = Field(default="", description="The weekdays they begin on: `mon-fri`, `sat, sun`. Empty: all.")
    timezone: str = Field(default="", description="Such as `Europe/Moscow`. Empty: the machine's own.")
    pass_: Words = Field(default=[], alias="pass", description="Severities that break through, such as `critical`.")
    holidays: str = Field(
        default="", description="Country (`RU`) or part of it (`DE-BY`) on whose holidays the whole day is quiet."
    )


class Digest(Section):
    """How a storm becomes few messages."""

    window: Duration = Field(
        default=300.0,
        ge=1,
        le=DAY,
        description="The first alert goes at once, the rest of this time becomes one message. "
        "Doubles while the storm lasts.",
    )
    longest: Duration = Field(default=1800.0, ge=1, le=DAY, description="How long the window grows at most.")
    repeat: Duration = Field(
        default=4 * 3600.0,
        ge=1,
        le=DAY,
        description="Repeats of what was told already are counted, and told with what is new, or after this time.",
    )
    pass_: Words = Field(
        default=[], alias="pass", description="Severities of which a new problem goes out at once, such as `critical`."
    )


class Digests(Section):
    """Storms of alerts: one message for many."""

    default: Digest | None = Field(
        default=None,
        description="Applies to all mail that no rule decides about, for each recipient by itself; "
        "to that of a rule with `action: digest`, for the rule by itself.",
    )
    hold_recovery: Duration = Field(
        default=60.0,
        ge=0,
        le=DAY,
        description="A problem and its recovery within this time cancel each other, where both still wait.",
    )

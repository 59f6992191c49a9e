"""What a mail is about, as a rule or a device profile found it, and what a rule wants done with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Event(StrEnum):
    """What happened to the thing an alert is about."""

    PROBLEM = "problem"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. All empty: nothing was found out, and its text is all that is known."""

    #: what it is about, the same for a problem and its recovery: ``web01/HTTP``
    subject: str = ""
    #: None where it is neither
    event: Event | None = None
    #: in lower case: ``critical``
    severity: str = ""
    host: str = ""
    #: what of the host it is about; where there is no host, what the alert is called
    service: str = ""
    #: the alert in one line
    short: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """How a storm becomes few messages. Durations in seconds."""

    #: after the first alert the rest of this time becomes one message; doubles while the storm lasts …
    window_s: float = 300.0
    #: … up to this
    longest_s: float = 1800.0
    #: repeats of what was told already wait this long at most for something new to be told with
    repeat_s: float = 4 * 3600.0
    #: problem and recovery within this time cancel each other
    hold_recovery_s: float = 60.0
    #: severities of which a new problem goes out at once
    passes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one mail, as far as it concerns when and with what else it goes out."""

    #: the rule's name; None where none matched
    rule: str | None = None
    #: None: each alert goes out by itself
    digest: Digest | None = None
    #: names below ``quiet_hours:``, beside those of the person and the alias
    quiet: tuple[str, ...] = ()
    alert: Alert = Alert()

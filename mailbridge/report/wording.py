"""What a report says to a person: one sentence of what happened and one of what to do, by enhanced status code.

Place in the flow: read by ``dsn``. It must not decide anything; the machine-read part does not depend on it.
"""

from __future__ import annotations

from mailbridge.queue.contract import Report

#: enhanced code (RFC 3463) -> what happened, what to do
FAILURES: dict[str, tuple[str, str]] = {
    "5.1.1": (
        "the gateway cannot deliver to this number",
        "Check that the number is in use; sending the same again will not help.",
    ),
    "5.1.3": ("this is not a valid phone number", "Correct the number and send the mail again."),
    "5.3.5": (
        "the gateway did not accept the request",
        "The mail itself is fine: tell the operator of this server.",
    ),
    "5.5.4": (
        "the gateway did not understand the time asked for",
        "Correct the X-SMS-Time header and send the mail again.",
    ),
    "5.7.1": (
        "the gateway does not allow this text or this sender name",
        "Change the text or the sender name, or have the sender name registered.",
    ),
    "4.4.7": (
        "it could not be handed over or delivered in time, so the attempt was given up",
        "If it still matters, send the mail again or call.",
    ),
}
#: for a status without a row, by its class
_OTHER_FAILURES: dict[str, tuple[str, str]] = {
    "5": ("it was not delivered", "Check the number; sending the same again will probably not help."),
    "4": ("it was not delivered", "If it still matters, send the mail again."),
}
_SUCCESSES: dict[Report, tuple[str, str]] = {
    Report.DELAYED: ("it has not been delivered yet, and is still being tried", "You need not send it again."),
    Report.DELIVERED: ("it reached the phone", ""),
    Report.RELAYED: ("the gateway took it, but does not tell whether it reaches the phone", ""),
}
#: first words of the subject; a report on several recipients takes the first row that occurs in it
TITLES: dict[Report, str] = {
    Report.FAILED: "Undelivered SMS",
    Report.DELAYED: "Delayed SMS",
    Report.RELAYED: "SMS handed over",
    Report.DELIVERED: "Delivered SMS",
}


def explain_action(action: Report, status: str) -> tuple[str, str]:
    """Return what happened and what to do about it, as sentences; the second may be empty."""
    if action is not Report.FAILED:
        return _SUCCESSES[action]
    return FAILURES.get(status) or _OTHER_FAILURES.get(status[:1], _OTHER_FAILURES["5"])

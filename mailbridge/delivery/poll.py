"""When to ask the gateway about a message: often while it is young, rarely while it is old, never over the limits.

The gateway refuses more than 5 status questions a minute about one message (smsc-api.md 1.7); we ask at most 4.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbridge.model.state import State

#: least time between two questions about one message
MIN_INTERVAL_S = 15.0
#: first question about a message whose outcome is unknown, and about one just sent
FIRST_UNKNOWN_S = 3.0
FIRST_SENT_S = 5.0
#: after this age of a sent message its receipt is no longer asked for (operators report within a day, ``err`` 245)
GIVE_UP_SENT_S = 3 * 86400.0

#: what stands for "never again" where a time must stand
_NEVER = timedelta(days=3650)

#: (younger than, interval): both in seconds
_SENT_STEPS_S = ((300.0, 1.0), (3600.0, 10.0), (86400.0, 60.0), (GIVE_UP_SENT_S, 480.0))


def next_question_at(
    state: State, *, asked: int, since: datetime, now: datetime, poll_s: float, quarantine_s: float = 0.0
) -> datetime:
    """Return when to ask next about a message that is *state* since *since* and was asked about *asked* times.

    Never again: years ahead. *poll_s* is the interval for a young sent message (0: callbacks alone tell, and what is
    returned is when they are waited for no more);
    the steps multiply it: x1 under 5 minutes of age, x10 under an hour, x60 under a day, x480 after that;
    the first question comes after 5 s, the second 15 s later.
    An ``unknown`` message is asked about after 3 s, then every 15 s, growing to 2 minutes,
    and when its quarantine ends.
    """
    if state is State.UNKNOWN:
        interval_s = FIRST_UNKNOWN_S if asked == 0 else min(MIN_INTERVAL_S * 2 ** max(0, asked - 4), 120.0)
        regular = now + timedelta(seconds=interval_s)
        quarantine_end = since + timedelta(seconds=quarantine_s)
        return min(regular, quarantine_end) if now < quarantine_end else regular
    if poll_s <= 0:
        return now + _NEVER if is_given_up(since=since, now=now) else since + timedelta(seconds=GIVE_UP_SENT_S)
    if asked < 2:
        return now + timedelta(seconds=min(poll_s, MIN_INTERVAL_S if asked else FIRST_SENT_S))
    age_s = (now - since).total_seconds()
    factor = next((factor for younger_than_s, factor in _SENT_STEPS_S if age_s < younger_than_s), None)
    return now + (_NEVER if factor is None else timedelta(seconds=poll_s * factor))


def is_given_up(*, since: datetime, now: datetime) -> bool:
    """Tell whether no receipt is expected any more of a message sent at *since*."""
    return now >= since + timedelta(seconds=GIVE_UP_SENT_S)

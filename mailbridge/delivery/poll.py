"""When to ask the gateway about a message: often while it is young, rarely while it is old, never over the limits.

The gateway refuses more than 5 status questions a minute about one message (smsc-api.md 1.7); we ask at most 4, and
however short ``poll`` is, never a sixth time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbridge.model.state import State

#: least time between two questions about one message
MIN_INTERVAL_S = 15.0
#: the same once the quarantine is over: the question at its end may have come soon after another one
_AFTER_QUARANTINE_S = 20.0
#: first question about a message whose outcome is unknown, and about one just sent
FIRST_UNKNOWN_S = 3.0
FIRST_SENT_S = 5.0
#: longest time between two questions about one whose outcome is unknown
LONGEST_UNKNOWN_S = 120.0
#: after this age of a sent message its receipt is no longer asked for (operators report within a day, ``err`` 245)
GIVE_UP_SENT_S = 3 * 86400.0

#: with an interval shorter than that: so many questions follow it, and the next two wait, so that no minute has six
_QUICK = 4
_AFTER_QUICK_S = 30.0

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
    A *poll_s* under 15 s counts for the first four questions.
    An ``unknown`` message is asked about after 3 s, then every 15 s, growing to 2 minutes,
    and when its quarantine ends.
    """
    if state is State.UNKNOWN:
        wait_s = _unknown_wait_s(asked, left_s=quarantine_s - (now - since).total_seconds())
        return now + timedelta(seconds=wait_s)
    if poll_s <= 0:
        return now + _NEVER if is_given_up(since=since, now=now) else since + timedelta(seconds=GIVE_UP_SENT_S)
    if asked < 2:
        return now + timedelta(seconds=min(poll_s, MIN_INTERVAL_S if asked else FIRST_SENT_S))
    age_s = (now - since).total_seconds()
    factor = next((factor for younger_than_s, factor in _SENT_STEPS_S if age_s < younger_than_s), None)
    return now + (_NEVER if factor is None else timedelta(seconds=max(poll_s * factor, _least_s(asked, poll_s))))


def _least_s(asked: int, poll_s: float) -> float:
    if asked < _QUICK or poll_s >= MIN_INTERVAL_S:
        return 0.0
    return _AFTER_QUICK_S if asked < _QUICK + 2 else MIN_INTERVAL_S


def _unknown_wait_s(asked: int, *, left_s: float) -> float:
    """Return the wait until the next question, of which one comes when what is left of the quarantine, *left_s*, ends.

    That one comes instead of the question just before it, and spreads those after it: four a minute, not five.
    """
    if asked == 0:
        return min(FIRST_UNKNOWN_S, left_s) if left_s > 0 else FIRST_UNKNOWN_S
    regular_s: float = min(MIN_INTERVAL_S * 2.0 ** max(0, asked - 4), LONGEST_UNKNOWN_S)
    if left_s <= 0:
        return max(regular_s, _AFTER_QUARANTINE_S)
    room_s = MIN_INTERVAL_S if regular_s == MIN_INTERVAL_S else 0.0
    if left_s >= regular_s + room_s:
        return regular_s
    return left_s if asked == 1 else max(left_s, MIN_INTERVAL_S)


def is_given_up(*, since: datetime, now: datetime) -> bool:
    """Tell whether no receipt is expected any more of a message sent at *since*."""
    return now >= since + timedelta(seconds=GIVE_UP_SENT_S)

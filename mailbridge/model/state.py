"""The states of a message and the only moves between them (docs/reference/states.md).

Rule: everything that says which move is legal stands in ``MOVES``; the stores refuse any other.
Status rank never falls: nothing leads away from ``delivered``.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a message is."""

    #: on disk, waiting for its next attempt
    QUEUED = "queued"
    #: the intent is on disk; a request may be on its way
    SENDING = "sending"
    #: a request left, and what became of it is not known yet
    UNKNOWN = "unknown"
    #: the gateway took it
    SENT = "sent"
    #: the handset has it
    DELIVERED = "delivered"
    #: the gateway took it and could not deliver it
    UNDELIVERED = "undelivered"
    #: its time is over, here or at the gateway
    EXPIRED = "expired"
    #: refused for good
    FAILED = "failed"
    #: taken back by a person
    CANCELLED = "cancelled"
    #: waits for a person
    HELD = "held"
    #: merged into another: duplicate, flood, digest
    SUPPRESSED = "suppressed"


S = State
MOVES: dict[State, frozenset[State]] = {
    # to sent or delivered: a receipt proves that an earlier attempt was taken after all
    S.QUEUED: frozenset(
        {
            S.QUEUED,
            S.SENDING,
            S.FAILED,
            S.EXPIRED,
            S.CANCELLED,
            S.HELD,
            S.SUPPRESSED,
            S.SENT,
            S.DELIVERED,
        }
    ),
    S.SENDING: frozenset({S.SENT, S.UNKNOWN, S.QUEUED, S.FAILED, S.DELIVERED, S.UNDELIVERED, S.EXPIRED}),
    S.UNKNOWN: frozenset({S.UNKNOWN, S.SENT, S.QUEUED, S.HELD, S.FAILED, S.DELIVERED, S.UNDELIVERED, S.EXPIRED}),
    S.SENT: frozenset({S.SENT, S.DELIVERED, S.UNDELIVERED, S.EXPIRED}),
    S.DELIVERED: frozenset(),
    # a late "delivered" overrides a failure the gateway reported too early; a sent report is not taken back
    S.UNDELIVERED: frozenset({S.DELIVERED, S.QUEUED}),
    S.EXPIRED: frozenset({S.DELIVERED, S.QUEUED}),
    S.FAILED: frozenset({S.DELIVERED, S.QUEUED}),
    S.CANCELLED: frozenset({S.DELIVERED, S.QUEUED}),
    S.HELD: frozenset({S.QUEUED, S.CANCELLED, S.EXPIRED, S.SENT, S.DELIVERED, S.UNDELIVERED}),
    S.SUPPRESSED: frozenset({S.QUEUED}),
}
del S

#: nothing more happens by itself
FINAL = frozenset({State.DELIVERED, State.UNDELIVERED, State.EXPIRED, State.FAILED, State.CANCELLED, State.SUPPRESSED})
#: the SMS will not arrive: a repeat of the same mail is a new try, not a duplicate
UNSUCCESSFUL = frozenset({State.UNDELIVERED, State.EXPIRED, State.FAILED, State.CANCELLED})


def can_move(old: State, new: State) -> bool:
    """Tell whether a message may go from *old* to *new*."""
    return new in MOVES[old]

"""Everything SMSC numbers, as literal tables: request errors, statuses and status errors, with what each one means.

``docs/reference/error-codes.md`` is generated from here. Rule: no other file knows a number of the gateway's.
Must not do I/O, and must not decide what is done about a meaning: that is the delivery's.
Sources: smsc-api.md 2.7 (codes), 4.5 (statuses), 4.6 (err); enhanced codes are RFC 3463's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailbridge.model import reply
from mailbridge.model.reply import Reply
from mailbridge.model.state import State


# ------------------------------------------------------------------------------------------ codes of send.php
class Verdict(StrEnum):
    """What a request error means for the messages of the request."""

    REFUSED = "refused"
    SUSPENDED = "suspended"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """One error code of ``send.php``. Other methods share 1, 2, 4 and 9 only: 3 and 5 mean something else there."""

    code: int
    #: the gateway's words, used where its answer carries none
    text: str
    verdict: Verdict
    #: for people: what it means and what to do
    words: str
    #: only for REFUSED
    reply: Reply | None = None
    #: only for SUSPENDED: seconds until the first probe, doubling up to the second number
    probe_after_s: float = 0
    probe_max_s: float = 0
    #: only for DEFERRED: no attempt before
    retry_after_s: float | None = None
    #: one message of the request may be to blame for all of them
    splits: bool = False
    #: only for REFUSED: the gateway has no way to the number, another one may
    no_route: bool = False


#: the gateway blocks identical requests for a minute (smsc-api.md 1.7); one second more for its clock
DUPLICATE_WINDOW_S = 61.0

_CODES = (
    CodeRow(
        code=1, text="parameters error", verdict=Verdict.REFUSED, reply=reply.GATEWAY_PARAMETERS, splits=True,
        words="The request has bad or missing parameters: an error of mailbridge or of its configuration.",
    ),
    CodeRow(
        code=2, text="authorise error", verdict=Verdict.SUSPENDED, probe_after_s=60, probe_max_s=600,
        words="Wrong login, password or key, or this host's IP address is not in the account's list.",
    ),
    CodeRow(
        code=3, text="no money", verdict=Verdict.SUSPENDED, probe_after_s=30, probe_max_s=600,
        words="The account has not enough money; messages wait until it is topped up.",
    ),
    CodeRow(
        code=4, text="IP is blocked", verdict=Verdict.SUSPENDED, probe_after_s=300, probe_max_s=3600,
        words="The gateway has blocked this host's IP address for a while after too many bad requests.",
    ),
    CodeRow(
        code=5, text="invalid date format", verdict=Verdict.REFUSED, reply=reply.GATEWAY_DATE, splits=True,
        words="The time asked for was not understood.",
    ),
    CodeRow(
        code=6, text="message is denied", verdict=Verdict.REFUSED, reply=reply.GATEWAY_DENIED, splits=True,
        words="The text or the sender name is forbidden, or the account has no contract for such messages.",
    ),
    CodeRow(
        code=7, text="invalid number", verdict=Verdict.REFUSED, reply=reply.GATEWAY_NUMBER, splits=True,
        words="The phone number has a wrong format.",
    ),
    CodeRow(
        code=8, text="can't to deliver", verdict=Verdict.REFUSED, reply=reply.GATEWAY_UNDELIVERABLE, splits=True,
        no_route=True,
        words="Messages cannot be delivered to this number.",
    ),
    CodeRow(
        code=9, text="duplicate request, wait a minute", verdict=Verdict.DEFERRED, retry_after_s=DUPLICATE_WINDOW_S,
        words="An identical request within a minute, or 15 and more requests at once.",
    ),
)  # fmt: skip
CODES = {row.code: row for row in _CODES}


#: who is answered so must ask nothing: wrong logins repeated have the address blocked, and a block grows with each try
SHUT_OUT = frozenset({2, 4})


def code_row(code: int) -> CodeRow:
    """Return the row of *code*; one that is not documented defers."""
    known = CODES.get(code)
    return known or CodeRow(code=code, text="unknown error", verdict=Verdict.DEFERRED, words="Not documented.")


# ---------------------------------------------------------------------------------------- statuses and their err
NOT_FOUND = -3
#: no money at the moment of sending
NO_MONEY = 24
#: codes from here on are final failures, known or not; unknown ones below are not final (smsc-api.md 4.5)
FIRST_FAILURE = 20


class Cause(StrEnum):
    """What a later attempt may change."""

    NONE = ""
    TEMPORARY = "T"
    PERMANENT = "P"
    CONTENT = "C"


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One delivery status. *enhanced* is for a final failure that comes with no ``err`` to tell more."""

    status: int
    #: the name in the gateway's answers
    name: str
    words: str
    state: State | None = None
    enhanced: str = ""


@dataclass(frozen=True, slots=True)
class ErrRow:
    """One error code inside a status."""

    err: int
    words: str
    cause: Cause
    enhanced: str


_STATUSES = (
    StatusRow(NOT_FOUND, "Сообщение не найдено", "message not found"),
    StatusRow(-2, "Остановлено", "paused before it left"),
    StatusRow(-1, "Ожидает отправки", "waiting to be sent"),
    StatusRow(0, "Передано оператору", "handed to the operator"),
    StatusRow(1, "Доставлено", "delivered", State.DELIVERED, "2.1.5"),
    StatusRow(2, "Прочитано", "read", State.DELIVERED, "2.1.5"),
    StatusRow(3, "Просрочено", "not delivered within its validity", State.EXPIRED, "4.4.7"),
    StatusRow(4, "Нажата ссылка", "link clicked", State.DELIVERED, "2.1.5"),
    StatusRow(20, "Невозможно доставить", "delivery failed", State.UNDELIVERED, "5.0.0"),
    StatusRow(22, "Неверный номер", "wrong number format", State.UNDELIVERED, "5.1.3"),
    StatusRow(23, "Запрещено", "forbidden", State.UNDELIVERED, "5.7.1"),
    StatusRow(24, "Недостаточно средств", "not enough money", State.UNDELIVERED, "4.3.0"),
    StatusRow(25, "Недоступный номер", "number takes no SMS, or no route", State.UNDELIVERED, "5.1.1"),
)
STATUSES = {row.status: row for row in _STATUSES}

_T, _P, _C = Cause.TEMPORARY, Cause.PERMANENT, Cause.CONTENT
#: X.4.1 "busy or unable to take a call", X.4.4 "unable to route", X.4.5 "congestion" (RFC 3463 section 3.5)
_ERRS = (
    ErrRow(0, "no error", Cause.NONE, ""),
    ErrRow(1, "subscriber does not exist", _P, "5.1.1"),
    ErrRow(2, "mailbox full", _T, "4.2.2"),
    ErrRow(3, "recipient's mail server not found", _P, "5.1.2"),
    ErrRow(4, "mailbox blocked", _P, "5.2.1"),
    ErrRow(6, "subscriber offline", _T, "4.4.1"),
    # not connected, landline or roaming: the first two do not pass
    ErrRow(11, "no SMS service", _P, "5.2.1"),
    ErrRow(12, "phone or SIM error, memory may be full", _T, "4.2.2"),
    ErrRow(13, "subscriber blocked", _T, "4.2.1"),
    ErrRow(21, "service not supported", _P, "5.3.3"),
    ErrRow(99, "unknown error", _T, "4.0.0"),
    # the account is in test mode: no message of it will ever arrive
    ErrRow(200, "virtual sending, the account is in test mode", _C, "5.3.5"),
    ErrRow(219, "SIM replaced, sender names blocked for a day", _T, "4.7.1"),
    ErrRow(220, "operator's queue is full", _T, "4.4.5"),
    ErrRow(237, "no answer to the call", _T, "4.4.1"),
    ErrRow(238, "no matching template", _C, "5.7.1"),
    ErrRow(239, "forbidden IP address", _C, "5.7.1"),
    ErrRow(240, "line busy", _T, "4.4.1"),
    ErrRow(241, "conversion error, or not all parts passed", _T, "4.6.5"),
    ErrRow(242, "answering machine", _T, "4.2.0"),
    ErrRow(243, "no contract signed", _C, "5.7.1"),
    ErrRow(244, "mailing prohibited or forbidden link", _C, "5.7.1"),
    ErrRow(245, "no status received within a day", _T, "4.4.7"),
    ErrRow(246, "time-of-day restriction", _T, "4.7.1"),
    ErrRow(247, "account's daily message limit exceeded", _T, "4.7.1"),
    ErrRow(248, "no route", _P, "5.4.4"),
    ErrRow(249, "wrong number format", _P, "5.1.3"),
    ErrRow(250, "number forbidden by the account's settings", _P, "5.7.1"),
    ErrRow(251, "number's daily limit exceeded", _T, "4.7.1"),
    ErrRow(252, "number is in the black list", _P, "5.7.1"),
    ErrRow(253, "caught by the spam filter", _C, "5.7.1"),
    ErrRow(254, "unregistered sender name", _C, "5.7.1"),
    ErrRow(255, "rejected by the operator", _P, "5.7.1"),
)
ERRS = {row.err: row for row in _ERRS}

#: err of a number that the gateway has no way to
NO_ROUTE_ERR = 248

#: an err that stands for no refusal where it comes without a failed status: none, test mode, "retries by itself"
HARMLESS_ERRS = frozenset({0, 200, 220})


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a status with its err says about one message."""

    status: int
    err: int
    #: where the message ends; None while it is under way (and for "not found")
    state: State | None
    #: RFC 3463; empty while the message is under way
    enhanced: str
    #: the most telling words, for people
    words: str

    @property
    def permanent(self) -> bool:
        """True where a later attempt with the same message is of no use."""
        return self.enhanced.startswith("5")

    @property
    def code(self) -> str:
        """The gateway's numbers: ``status 25 err 248``; the err only where there is one."""
        return f"status {self.status} err {self.err}" if self.err else f"status {self.status}"

    @property
    def diagnostic(self) -> str:
        """A Diagnostic-Code (RFC 3464 2.3.6): ``x-smsc; status 25 err 248 (no route)``."""
        return f"x-smsc; {self.code} ({self.words})"


def meaning_of(status: int, err: int = 0) -> Meaning:
    """Say what *status* with *err* means; an unknown status from 20 on is a final failure, another is not final."""
    row = STATUSES.get(status)
    if row is None:
        failed = status >= FIRST_FAILURE
        words = "failed in a way not known to us" if failed else "status not known to us"
        row = StatusRow(status, "", words, State.UNDELIVERED if failed else None, "5.0.0" if failed else "")
    enhanced, words = row.enhanced, row.words
    if row.state in {State.UNDELIVERED, State.EXPIRED} and err:
        reason = ERRS.get(err)
        enhanced = reason.enhanced if reason else enhanced
        words = reason.words if reason else f"{words}, for a reason not known to us"
    return Meaning(status=status, err=err, state=row.state, enhanced=enhanced, words=words)

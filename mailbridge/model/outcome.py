"""What became of handing a message to a gateway: five values, matched exhaustively by the delivery.

"Sent, no answer" (``Unknown``) is never treated as "not sent" (``Deferred(left=False)``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from mailbridge.model.phone import Phone
from mailbridge.model.reply import Reply


class ErrorClass(StrEnum):
    """What an error means for the message; the ``class`` of docs/reference/json.md."""

    REFUSED = "refused"
    DEFERRED = "deferred"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    #: that gateway has no way to the number: the next one of the route is tried
    NO_ROUTE = "no route"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsError:
    """A gateway's own words about a failure, or ours where no gateway spoke."""

    #: the gateway's code as text (``7``, ``status 25 err 248``), or a word of ours (``timeout``, ``lifetime``)
    code: str
    text: str
    error_class: ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The gateway took it."""

    #: the gateway id under which status can be asked, together with the phone
    gateway_id: str
    parts: int
    #: price of this message alone, None where the gateway did not say
    price: Decimal | None = None
    #: account balance after it
    balance: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not taken now; a later attempt may be."""

    error: SmsError
    #: no attempt before this many seconds; None leaves it to the back-off
    retry_after_s: float | None = None
    #: too many at once: lower the concurrency
    slow_down: bool = False
    #: False when no byte of the request left (name, connect, TLS)
    left: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Never: a new attempt with the same message gives the same answer."""

    error: SmsError
    #: what an SMTP client that waits is told; its enhanced code is the bounce's Status
    reply: Reply
    #: the whole request was refused, so one message of a batch may be the culprit for all: split and try again
    whole_request: bool = False
    #: it has no way to that number; another gateway may have one
    no_route: bool = False
    gateway_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The gateway as a whole takes nothing now (credentials, money, blocked IP); no attempt is spent."""

    error: SmsError
    #: first probe after this many seconds, doubling up to *probe_max_s*
    probe_after_s: float
    probe_max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The request left and no usable answer came: only ``status`` can tell."""

    error: SmsError
    #: the server asked for silence (HTTP 429 with Retry-After): no question before this many seconds
    retry_after_s: float | None = None


Outcome = Accepted | Deferred | Refused | Suspended | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a gateway says later about one message, by callback or by status query."""

    gateway: str
    gateway_id: str
    phone: Phone
    #: the gateway's status and err codes (smsc-api.md 4.5, 4.6)
    status: int
    err: int
    #: the carrier's own word for it, where it has words instead of numbers
    word: str = ""
    #: when the gateway says it changed, aware UTC; None when it did not say
    changed_at: datetime | None = None
    price: Decimal | None = None
    parts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Money left on a gateway's account."""

    gateway: str
    balance: Decimal
    currency: str
    credit: Decimal | None = None

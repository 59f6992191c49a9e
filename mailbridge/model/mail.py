"""A mail as it came in, and as it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from mailbridge.model.phone import Phone


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who handed a mail in."""

    #: IP address, ``unix`` for a unix socket, ``local`` for the command line and the API
    address: str
    helo: str = ""
    #: the authenticated user
    user: str | None = None
    #: the listener's address as configured
    listener: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One RCPT TO, understood."""

    #: as given, without angle brackets; ASCII without control characters
    address: str
    #: the channel of the recipient's domain: ``sms``
    channel: str
    phone: Phone
    #: the name it was addressed by, in lower case; empty where that was a number
    alias: str = ""
    #: the rest of whom the name means; each gets a message of its own
    others: tuple[Phone, ...] = ()
    #: address options in the order written, names in lower case: ``(("flash", ""), ("sender", "NAGIOS"))``
    options: tuple[tuple[str, str], ...] = ()
    #: RFC 3461 NOTIFY in upper case; None where it was not given
    notify: frozenset[str] | None = None
    #: RFC 3461 ORCPT as given (``rfc822;user@example.org``)
    orcpt: str | None = None

    def each(self) -> tuple[Recipient, ...]:
        """Return one recipient for each number that is meant."""
        if not self.others:
            return (self,)
        return tuple(replace(self, phone=phone, others=()) for phone in (self.phone, *self.others))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """A mail at the end of DATA, before anything of its content was looked at."""

    #: ten characters of ``model.ids.ALPHABET``
    id: str
    #: MAIL FROM without angle brackets; empty for the null sender
    sender: str
    recipients: tuple[Recipient, ...]
    #: header and body as received, CRLF line ends, dots unstuffed
    content: bytes
    client: Client
    received_at: datetime
    #: RFC 3461, decoded from xtext
    envid: str | None = None
    #: ``FULL`` or ``HDRS``
    ret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A part of a mail that is not its text; never opened."""

    name: str
    content_type: str
    size_bytes: int
    #: shown within a page, as a logo is (RFC 2392), rather than sent along
    is_inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail as a person would read it. All strings are readable text: no control characters but ``\\n`` in *body*."""

    subject: str
    #: text/plain unless blank, else the HTML as text, else empty; lines joined by ``\\n``
    body: str
    from_address: str
    from_name: str
    to: str
    message_id: str
    #: decoded, unfolded, in order: ``(("Subject", "…"), …)``
    headers: tuple[tuple[str, str], ...]
    attachments: tuple[Attachment, ...] = ()
    #: number of Received header fields
    received_count: int = 0
    #: RFC 3834 Auto-Submitted keyword in lower case; empty when absent
    auto_submitted: str = ""
    #: what was odd and how it was read, for the history and ``explain``
    notes: tuple[str, ...] = ()

    def header(self, name: str) -> str | None:
        """Return the first header field called *name*, case-insensitive, or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

"""Every SMTP reply we give, as one table: code, enhanced code, fixed words (RFC 5321 4.2, RFC 3463).

Outsiders get these words and nothing else: no path, no exception's text, no secret.
A reply that carries a value (an id, a gateway's code) is built by ``Reply.with_text`` from a row of the table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply. The enhanced code's class must agree with the code's first digit; text is printable ASCII."""

    code: int
    enhanced: str
    text: str
    #: the session ends after this reply
    close: bool = False

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"not an SMTP reply code: {self.code}")
        if self.enhanced and (not _ENHANCED.fullmatch(self.enhanced) or self.enhanced[0] != str(self.code)[0]):
            raise ValueError(f"{self.enhanced} does not go with {self.code}")
        if not self.text.isascii() or not self.text.isprintable():
            raise ValueError("a reply is printable ASCII")

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}" if self.enhanced else f"{self.code} {self.text}"

    @property
    def is_permanent(self) -> bool:
        """True for 5xx."""
        return self.code >= 500

    def with_text(self, text: str) -> Reply:
        """Return the same verdict in other words; what is not printable ASCII becomes ``?``, length is capped."""
        is_clean = text.isascii() and text.isprintable()
        clean = (text if is_clean else "".join(c if c.isascii() and c.isprintable() else "?" for c in text))[:400]
        return Reply(self.code, self.enhanced, clean, self.close)


QUEUED = Reply(250, "2.0.0", "Ok: queued")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")

#: RCPT TO
UNKNOWN_DOMAIN = Reply(550, "5.7.1", "Relaying denied: this server takes mail for its own SMS domains only")
NOT_A_PHONE = Reply(550, "5.1.1", "Not a phone number and not an alias")
IMPOSSIBLE_NUMBER = Reply(550, "5.1.3", "Impossible phone number")
BAD_ADDRESS = Reply(553, "5.1.3", "Bad recipient address syntax")
BAD_OPTION = Reply(550, "5.1.3", "Unknown or bad option in the recipient address")
COUNTRY_NOT_ALLOWED = Reply(550, "5.7.1", "Numbers of that country or prefix are not allowed here")
NOBODY_ON_DUTY = Reply(451, "4.3.0", "Nobody is known to be on duty under that name now, try later")
SENDER_NOT_YOURS = Reply(550, "5.7.1", "That sender name is not one of yours")
PREFIX_NOT_YOURS = Reply(550, "5.7.1", "You may not send to numbers of that country or prefix")
OVER_LIMIT = Reply(450, "4.7.1", "Over the limit for now, try later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")

#: the envelope and the session
BAD_SENDER = Reply(553, "5.1.7", "Bad sender address syntax")
BAD_PARAMETER = Reply(501, "5.5.4", "Bad parameter")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "Parameter not recognized")
CLIENT_NOT_ALLOWED = Reply(550, "5.7.1", "Access denied: this client's network is not allowed")
TOO_MANY_CONNECTIONS = Reply(421, "4.7.0", "Too many connections, try later", close=True)
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors", close=True)
TIMED_OUT = Reply(421, "4.4.2", "Timed out", close=True)
SHUTTING_DOWN = Reply(421, "4.3.2", "Shutting down, try later", close=True)
SPOKE_TOO_EARLY = Reply(554, "5.5.1", "Protocol error: wait for the greeting before you speak", close=True)
NO_PROXY_HEADER = Reply(421, "4.7.0", "A proxy begins with a PROXY header", close=True)
NOT_HTTP = Reply(502, "5.7.0", "This is SMTP, not HTTP", close=True)
AUTH_REQUIRED = Reply(530, "5.7.0", "Authentication required")
TLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")

#: the session's commands
OK = Reply(250, "2.0.0", "Ok")
BYE = Reply(221, "2.0.0", "Bye", close=True)
HELP = Reply(214, "2.0.0", "See RFC 5321; recipients are phone numbers")
CANNOT_VERIFY = Reply(252, "2.5.2", "Cannot verify, send some mail and see")
GO_AHEAD = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
SIGNED_IN = Reply(235, "2.7.0", "Authentication successful")
BAD_SYNTAX = Reply(500, "5.5.2", "Bad syntax")
BAD_LINE_END = Reply(500, "5.5.2", "A command ends with <CR><LF>")
LINE_TOO_LONG = Reply(500, "5.5.2", "Line too long")
UNKNOWN_COMMAND = Reply(500, "5.5.1", "Command not recognized")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
BAD_ARGUMENT = Reply(501, "5.5.4", "Bad command argument")
BAD_SEQUENCE = Reply(503, "5.5.1", "Bad sequence of commands")
NON_ASCII_ADDRESS = Reply(553, "5.6.7", "Only ASCII addresses are taken here")
AUTH_FAILED = Reply(535, "5.7.8", "Authentication credentials invalid")
AUTH_ABORTED = Reply(501, "5.7.0", "Authentication aborted")
AUTH_BANNED = Reply(421, "4.7.0", "Too many failed sign-ins from this address, try later", close=True)
BAD_BASE64 = Reply(501, "5.5.2", "Not base64 of what the mechanism asks for")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "Authentication mechanism not offered")
AUTH_NEEDS_TLS = Reply(538, "5.7.11", "Encryption required for authentication")
TOO_MANY_AUTH_FAILURES = Reply(421, "4.7.0", "Too many authentication failures", close=True)

#: DATA
TOO_BIG = Reply(552, "5.3.4", "Message too big")
BARE_LINE_END = Reply(550, "5.5.2", "Bare <CR> or <LF> in the message", close=True)
MAIL_LOOP = Reply(554, "5.4.6", "Mail loop: too many Received headers")
BAD_TIME = Reply(554, "5.5.4", "The time asked for was not understood")
BAD_VALID = Reply(554, "5.5.4", "The validity asked for was not understood: write 2h, 90m or hh:mm, 24h at most")
BAD_CHANNEL = Reply(554, "5.5.4", "The channel asked for does not exist here")
UNUSABLE_MAIL = Reply(554, "5.6.0", "Nothing in this mail can be sent as an SMS")
LOCAL_ERROR = Reply(451, "4.3.0", "Local error, try later")
QUEUE_FULL = Reply(452, "4.3.1", "Insufficient storage, try later")

#: what the gateway's codes become (docs/reference/error-codes.md); the words are completed with the gateway's own code
GATEWAY_PARAMETERS = Reply(554, "5.3.5", "SMSC error 1: parameters error")
GATEWAY_DATE = Reply(554, "5.5.4", "SMSC error 5: invalid date format")
GATEWAY_DENIED = Reply(550, "5.7.1", "SMSC error 6: message is denied")
GATEWAY_NUMBER = Reply(550, "5.1.3", "SMSC error 7: invalid number")
GATEWAY_UNDELIVERABLE = Reply(550, "5.1.1", "SMSC error 8: can't to deliver")
#: a carrier described in the configuration; its definition may name another reply, and its own words stand behind
GATEWAY_REFUSED = Reply(550, "5.0.0", "The carrier refused the message")
LIFETIME_OVER = Reply(450, "4.4.7", "Delivery time expired")

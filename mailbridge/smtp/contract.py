"""What the door asks of the rest: who may be written to, whether a password is right, and to take a mail.

The door knows these three ports and nothing behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailbridge.model.mail import Client, ReceivedMail, Recipient
from mailbridge.model.reply import Reply


class Reception(Protocol):
    """Takes the responsibility for a mail, or says why not."""

    async def receive(self, mail: ReceivedMail, *, each: bool) -> Sequence[Reply]:
        """Keep *mail* and return what its client is told.

        Shape: one reply for the whole mail, or with *each* (LMTP) one for each recipient in their order.
        The door never cancels this call, whatever becomes of the client or the listener.
        Raises: IntakeError, whose reply is given; StoreFull, answered 452 4.3.1; anything else is answered 451 4.3.0.
        """
        ...


class Doorman(Protocol):
    """Knows which addresses are taken. Decides at once: it is asked for every MAIL and every RCPT."""

    def sender(self, address: str, client: Client) -> str:
        """Return the sender of a MAIL command as it is to be kept; never asked about the null sender.

        *address* is printable ASCII, what stood between the angle brackets.
        Raises: IntakeError, whose reply is given.
        """
        ...

    def recipient(self, address: str, client: Client) -> Recipient:
        """Return the recipient of a RCPT command, without the DSN parameters, which the door adds.

        *address* is printable ASCII, what stood between the angle brackets.
        Raises: IntakeError, whose reply is given.
        """
        ...


class Passwords(Protocol):
    """Knows who may sign in."""

    @property
    def offers_cram(self) -> bool:
        """True when some user has a secret for CRAM-MD5."""
        ...

    def verify_cram(self, name: str, challenge: bytes, digest: str) -> bool:
        """Tell whether *digest*, in hex, answers *challenge* with the secret of user *name* (RFC 2195)."""
        ...

    async def verify(self, name: str, password: str) -> bool:
        """Tell whether *password* is that of user *name*, in the same time for an unknown name."""
        ...

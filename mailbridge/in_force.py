"""What the door talks to: the reception and doorman in force, which a reload exchanges, and what is counted of both.

The door's ports (``smtp.contract``) in the bridge's own process; a worker has its own. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from mailbridge.clock import Clock
from mailbridge.errors import IntakeError
from mailbridge.limiter import Known
from mailbridge.meter import Meter
from mailbridge.model.mail import Client, ReceivedMail, Recipient
from mailbridge.model.reply import Reply
from mailbridge.queue.contract import NewMail
from mailbridge.reception import Reception
from mailbridge.smtp.contract import Doorman


class InForce:
    """What the door talks to: the reception and doorman of the configuration in force, exchanged by a reload."""

    def __init__(self, reception: Reception, doorman: Doorman, known: Known, *, meter: Meter, clock: Clock) -> None:
        self.reception = reception
        self.doorman = doorman
        self.known = known
        self._meter = meter
        self._clock = clock

    async def receive(self, mail: ReceivedMail, *, each: bool) -> Sequence[Reply]:
        """Take *mail* in, as ``Reception.receive``."""
        return await self._metered(self.reception.receive(mail, each=each), 0.0)

    async def _metered(self, answers: Awaitable[Sequence[Reply]], spent_s: float) -> Sequence[Reply]:
        began = self._clock.monotonic()
        try:
            replies = await answers
        except IntakeError as error:
            self._meter.count_rejected(error.reply)
            raise
        self._meter.accepted.observe(self._clock.monotonic() - began + spent_s)
        for reply in replies:
            if reply.code >= 400:
                self._meter.count_rejected(reply)
        return replies

    async def keep(self, new: NewMail, *, each: Sequence[int] | None, spent_s: float) -> Sequence[Reply]:
        """Keep what a worker has read, in *spent_s*; what it refused itself it tells ``Meter.count_rejected``."""
        return await self._metered(self.reception.keep(new, each=each), spent_s)

    def sender(self, address: str, client: Client) -> str:
        """Return the sender of a MAIL command. Raises: IntakeError."""
        try:
            sender = self.doorman.sender(address, client)
            self.known.ask_sender(sender)
        except IntakeError as error:
            self._meter.count_rejected(error.reply)
            raise
        return sender

    def recipient(self, address: str, client: Client) -> Recipient:
        """Return the recipient of a RCPT command. Raises: IntakeError."""
        try:
            recipient = self.doorman.recipient(address, client)
            self.known.ask_recipient({one.phone for one in recipient.each()}, client)
        except IntakeError as error:
            self._meter.count_rejected(error.reply)
            raise
        return recipient

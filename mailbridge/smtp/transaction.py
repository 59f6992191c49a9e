"""One mail between MAIL and the answer to DATA."""

from __future__ import annotations

from aiosmtpd.smtp import Envelope

from mailbridge.model.mail import Recipient


class Transaction(Envelope):
    """aiosmtpd's envelope, holding values of ours."""

    def __init__(self) -> None:
        super().__init__()
        #: given when it is first needed: by a refusal in the log, or by the mail itself
        self.id = ""
        #: None until MAIL was accepted; empty for the null sender
        self.sender: str | None = None
        self.recipients: list[Recipient] = []
        #: RFC 3461, decoded
        self.envid: str | None = None
        self.ret: str | None = None

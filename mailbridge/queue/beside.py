"""What a queue keeps beside its mails: our own mails, the gateways' states and what they took. Part of ``contract``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """A mail of ours waiting for the smarthost: written as intent before it is handed over (crash point C10)."""

    id: int
    #: the mail it reports on; None for a notice to the operator
    mail_id: str | None
    sender: str
    recipient: str
    content: bytes
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayState:
    """Whether a gateway takes messages, shared by all nodes and kept over restarts."""

    name: str
    suspended: bool = False
    #: a person did it: only a person (or ``gateways resume``) ends it
    by_hand: bool = False
    code: str = ""
    reason: str = ""
    since: datetime | None = None
    probe_at: datetime | None = None
    #: probes made since it was suspended
    probes: int = 0

    @property
    def on_trial(self) -> bool:
        """A probe found it well and no message has proved it yet, or its trouble may come back."""
        return not self.suspended and self.code != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What one gateway took for messages handed over in some time."""

    gateway: str
    #: None where the gateway did not say
    currency: str | None
    amount: Decimal
    messages: int
    parts: int

"""An SMS somebody sent to one of an account's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailbridge.model.phone import Phone


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundSms:
    """One inbound SMS as a gateway tells of it, by callback or when it is asked."""

    gateway: str
    phone: Phone
    text: str
    #: our number or short code, as given
    to: str
    #: the gateway's own id of it; empty where it gave none
    id: str = ""
    #: aware UTC; None where the gateway did not say
    received_at: datetime | None = None

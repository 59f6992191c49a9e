"""Messages and gateways for tests, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from mailbridge.config.model import SmscGateway as SmscSettings
from mailbridge.gateway.contract import Batch
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.phone import Phone

PHONE = Phone("+79990000001")
OTHER = Phone("+79990000002")


def message(text: str = "Hello", phone: str = PHONE, **fields: Any) -> Message:
    """Build a message of one part to *phone*."""
    return Message(**{"channel": "sms", "sender": "ACME", "alphabet": Alphabet.GSM7, "parts": 1}
                   | {"phone": Phone(phone), "text": text} | fields)  # fmt: skip


def batch(*messages: Message, gateway_id: str = "5001") -> Batch:
    """Build a batch; one plain message when none is given."""
    return Batch(gateway_id=gateway_id, messages=messages or (message(),))


def settings(*urls: str, **fields: Any) -> SmscSettings:
    """Build an account at the servers *urls*."""
    return SmscSettings.model_validate(
        {"url": list(urls), "login": "acme", "password": "s3cret-canary", "timeout": "2s", "connect_timeout": "1s"}
        | fields
    )

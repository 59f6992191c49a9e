"""Messages and gateways for tests, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from mailbridge.config.model import SmscGateway as SmscSettings
from mailbridge.gateway.contract import Batch
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.phone import Phone
from mailbridge.simulator.params import Params
from mailbridge.simulator.submission import parse_submission

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


def form(body: bytes) -> dict[str, str]:
    """Read a body as the gateway does; no name may stand twice."""
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def handset_texts(body: bytes) -> list[tuple[str, str, str]]:
    """Read a body as the simulator does: (phone, kind, what the handset shows), in order."""
    params = Params(values=form(body), charset="utf-8", fmt=3)
    submission = parse_submission(params, now=1_700_000_000.0, zone_h=0, max_chars=10**6)
    return [("+" + item.number.digits, item.text.kind, item.text.shown) for item in submission.items]

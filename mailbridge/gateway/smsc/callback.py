"""What SMSC tells us by itself: statuses, inbound messages, confirmation calls; and whether it really was SMSC.

Between the web door, which reads the form, and the report room. Pure.
Must not trust a field before ``verify`` said yes, and must not raise for anything a stranger can send.
Source: smsc-api.md 5.3 to 5.6.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailbridge.gateway.smsc.answers import as_int, as_money
from mailbridge.gateway.smsc.verdict import time_of
from mailbridge.model.inbound import InboundSms
from mailbridge.model.outcome import Receipt
from mailbridge.model.phone import Phone, digits_of

#: ITU-T E.164
_MAX_DIGITS = 15
#: no SMS is longer, in however many parts
MAX_TEXT_CHARS = 2000
_MAX_WORD_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationCall:
    """A subscriber called the number he was asked to call."""

    gateway: str
    phone: Phone
    called_at: datetime | None = None


Event = Receipt | InboundSms | ConfirmationCall


def verify(fields: Mapping[str, str], secret: str) -> bool:
    """Tell whether *fields*, as received, were signed with *secret*: by sha1, or by md5 where there is no sha1.

    Takes the same time for right and wrong signatures. A crc32 proves nothing, and an empty secret never verifies.
    """
    if not secret:
        return False
    for name in ("sha1", "md5"):
        if given := fields.get(name, ""):
            signed = ":".join((*_signed_fields(fields), secret)).encode(errors="surrogatepass")
            wanted = hashlib.new(name, signed, usedforsecurity=False).hexdigest()
            return hmac.compare_digest(given.lower().encode(errors="surrogatepass"), wanted.encode())
    return False


def parse_event(fields: Mapping[str, str], gateway: str) -> Event | None:
    """Read a callback's form; None where it is none of the known events or lacks what they need."""
    phone = read_phone(fields.get("phone", ""))
    if phone is None:
        return None
    happened_at = time_of(fields.get("ts", ""))
    if "waitcall" in fields:
        return ConfirmationCall(gateway=gateway, phone=phone, called_at=happened_at)
    if "mes" in fields:
        return InboundSms(
            gateway=gateway, phone=phone, text=_bounded(fields["mes"], MAX_TEXT_CHARS),
            to=_bounded(fields.get("to", "")), id=_bounded(fields.get("id", "")), received_at=happened_at,
        )  # fmt: skip
    status, gateway_id = as_int(fields.get("status")), fields.get("id", "").strip()
    if status is None or not gateway_id:
        return None
    return Receipt(
        gateway=gateway,
        gateway_id=gateway_id,
        phone=phone,
        status=status,
        err=as_int(fields.get("err")) or 0,
        changed_at=happened_at,
        price=as_money(fields.get("cost")),
        parts=as_int(fields.get("cnt")),
    )


def _signed_fields(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the kind of event signs (smsc-api.md 5.6)."""
    if "waitcall" in fields:
        names: tuple[str, ...] = ("phone", "ts")
    elif "mes" in fields:
        names = ("phone", "mes", "to")
    else:
        names = ("id", "phone", "status")
    return tuple(fields.get(name, "") for name in names)


def _bounded(text: str, most: int = _MAX_WORD_CHARS) -> str:
    """Return *text* as it can be kept: of a fair length, without halves of characters."""
    return text[:most].encode("utf-8", "replace").decode()


def read_phone(text: str) -> Phone | None:
    """Read a number with or without its plus; None for an e-mail address and the like."""
    digits = digits_of(text)
    plain = text.strip().removeprefix("+")
    return Phone(f"+{digits}") if plain == digits and 0 < len(digits) <= _MAX_DIGITS else None

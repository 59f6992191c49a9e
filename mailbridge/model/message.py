"""One SMS to one number, as composed: what the queue keeps and the gateway is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailbridge.model.phone import Phone


class Alphabet(StrEnum):
    """How a text travels over the air (3GPP TS 23.038)."""

    GSM7 = "gsm7"
    UCS2 = "ucs2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One SMS to one number. *parts* is for the text as it will be sent, transliteration included."""

    phone: Phone
    channel: str
    #: sender name; empty for the account's default
    sender: str
    text: str
    #: 0, 1 or 2 as the gateway has it; ``auto`` was decided when composing
    translit: int = 0
    alphabet: Alphabet
    parts: int
    flash: bool = False
    #: when to send, in one of the gateway's forms (smsc-api.md 2.2): ``DDMMYYhhmm``, ``DD.MM.YY hh:mm``, ``h1-h2``,
    #: ``0<unix time>``, ``+<minutes>``; empty for now
    time: str = ""
    #: how long the operator tries: hours ``1``..``24`` or ``hh:mm``; empty for the gateway's default
    valid: str = ""
    #: the client's own label (X-SMS-Id); the first attempt uses it as the gateway id where that is safe
    wanted_id: str | None = None
    #: names of the rule and the device profile that decided
    rule: str | None = None
    profile: str | None = None
    #: what was odd and how it was treated, in words
    notes: tuple[str, ...] = ()

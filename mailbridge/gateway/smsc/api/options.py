"""What a message may be asked to be: kinds and options of ``send.php`` and ``jobs.php``, and their parameters.

Between the caller and the codec. Pure. A text is a text, as in the bridge's own path: what the gateway would read as a
command in it is made harmless by ``escape``.
Source: smsc-api.md 2.2 and 2.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypedDict

from mailbridge.gateway.smsc.codec import File
from mailbridge.gateway.smsc.escape import escape_text, is_list_safe, list_text

Pairs = list[tuple[str, str]]
#: what a program may hand in for one parameter
Value = str | int | float | bool | datetime | None
_COMMENT = "\n~~~\n"


class Kind(StrEnum):
    """What is sent; the value is the parameter that asks for it."""

    SMS = ""
    FLASH = "flash"
    #: the text is raw bytes, one character each
    BINARY = "bin=1"
    #: the text is hex, its first byte the length of the header
    BINARY_HEX = "bin=2"
    #: WAP push: address, newline, title
    PUSH = "push"
    #: asks the operator about a number; shows nothing
    HLR = "hlr"
    #: an SMS nobody sees: its delivery tells that the phone is reachable
    PING = "ping"
    MMS = "mms"
    #: an e-mail: ``sender`` is an address, ``subject`` is needed
    MAIL = "mail"
    #: a voice call
    CALL = "call"
    VIBER = "viber"
    WHATSAPP = "whatsapp"
    #: Telegram: the text holds a confirmation code
    TELEGRAM = "tg"
    #: Odnoklassniki, VK, Mail.ru Agent
    SOCIAL = "soc"


#: kinds whose text is not read by a person: it goes out untouched
_VERBATIM = frozenset({Kind.BINARY, Kind.BINARY_HEX, Kind.PUSH})


class SendOptions(TypedDict, total=False):
    """Options of a message; what is left out has the account's or the gateway's default."""

    #: the message's own id: 1 to 2147483647, or up to 40 Latin letters, digits, ``.``, ``-`` and ``_``
    id: str | int
    #: 11 characters or 15 digits, approved in the cabinet
    sender: str
    kind: Kind
    #: 0, 1 or 2
    translit: int
    #: replace links by short ones that count their clicks
    tinyurl: bool
    #: a moment, or one of the gateway's own forms
    time: datetime | str
    #: hours from Moscow in which ``time`` is written
    tz: int
    #: hours over which a mailing is spread, 0.1 to 720
    period: float
    #: minutes between its portions, 1 to 1440
    freq: int
    #: hours 1 to 24, or ``hh:mm``
    valid: int | str
    #: longer texts are cut
    max_parts: int
    #: only the history shows it
    comment: str
    #: subject of an MMS or e-mail
    subject: str
    #: of a call: ``m``, ``w2,en`` …
    voice: str
    #: of a call: seconds to ring, seconds between tries, tries
    call_param: tuple[int, int, int]
    #: the client's own Telegram or WhatsApp bot
    bot: str
    #: with ``bot``: days after which the phone is to be confirmed again
    smsreq: int
    #: a file the gateway is to fetch and attach
    file_url: str
    files: Sequence[File]
    #: what the end user typed for a captcha, and his address
    image_code: str
    user_ip: str
    #: partner whose referral this request is
    partner: int
    #: operator template marks such as ``mts_srv`` (uncertain)
    template_marks: Sequence[str]
    #: any parameter this client does not know
    extra: Mapping[str, str]


#: option -> parameter, for those that are only renamed
_NAMES = {
    "id": "id", "sender": "sender", "translit": "translit", "tinyurl": "tinyurl", "time": "time", "tz": "tz",
    "period": "period", "freq": "freq", "valid": "valid", "max_parts": "maxsms", "subject": "subj", "voice": "voice",
    "bot": "bot", "smsreq": "smsreq", "file_url": "fileurl", "image_code": "imgcode", "user_ip": "userip",
    "partner": "pp",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One text of a request with several: its phones, and its own sender and time zone where they differ."""

    phones: str | Sequence[str]
    text: str
    sender: str | None = None
    #: honoured only where ``time`` is a date
    tz: int | None = None


def joined(values: str | int | Iterable[str | int]) -> str:
    """Return one value, or several as a comma list."""
    return str(values) if isinstance(values, str | int) else ",".join(map(str, values))


def written(value: Value) -> str:
    """Return *value* as the gateway reads it: flags are 0 and 1, moments Unix times with a zero before."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case datetime():
            return f"0{int(value.timestamp())}"
        case float():
            return f"{value:g}"
    return str(value)


def pairs_of(**fields: Value) -> Pairs:
    """Return parameters; what is None is left out, and a trailing ``_`` keeps a name from being Python's."""
    return [(name.removesuffix("_"), written(value)) for name, value in fields.items() if value is not None]


def option_pairs(options: SendOptions) -> Pairs:
    """Return the parameters of *options*."""
    given: Mapping[str, object] = options
    pairs: Pairs = [
        (name, written(value))
        for option, name in _NAMES.items()
        if isinstance(value := given.get(option), str | int | float | datetime)
    ]
    if kind := options.get("kind", Kind.SMS):
        name, _, value = kind.partition("=")
        pairs.append((name, value or "1"))
    if call := options.get("call_param"):
        pairs.append(("param", joined(call)))
    pairs += [(mark, "1") for mark in options.get("template_marks", ())]
    return [*pairs, *options.get("extra", {}).items()]


def text_pairs(phones: str | Iterable[str], text: str, options: SendOptions) -> Pairs:
    """Return who gets what. A call that says "code" would be a call of another kind, so it gets a blank."""
    kind = options.get("kind", Kind.SMS)
    mes = text if kind in _VERBATIM else escape_text(text)
    if kind is Kind.CALL and mes == "code":
        mes = " code"
    if comment := options.get("comment"):
        mes += _COMMENT + comment
    return [("phones", joined(phones)), *([("mes", mes)] if mes else [])]


def list_pairs(records: Iterable[Record]) -> Pairs:
    """Return several texts as ``list``.

    Raises: ValueError for a text or a name that a record cannot carry.
    """
    lines = []
    for record in records:
        if not is_list_safe(record.text):
            raise ValueError("a text with a backslash, a | or blanks at its ends cannot stand in a list; send it alone")
        head = ""
        if record.sender is not None or record.tz is not None:
            head = (record.sender or "") + ("" if record.tz is None else f",{record.tz}") + "|"
        phones = joined(record.phones)
        if any(mark in head[:-1] + phones for mark in "|:;\r\n"):
            raise ValueError("a sender or phone of a list holds a mark that ends it")
        lines.append(f"{head}{phones}:{list_text(record.text)}")
    return [("list", "\n".join(lines))]

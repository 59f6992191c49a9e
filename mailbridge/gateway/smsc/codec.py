"""Requests as form bodies: from messages and questions to the bytes of a POST.

Between the client and the wire, the outgoing half; ``answers`` is the other one. Pure.
Must not put anything into a URL: all parameters, credentials first of all, travel in the body.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote_plus

from mailbridge.gateway.contract import Batch, StatusQuery
from mailbridge.gateway.smsc.escape import escape_text, is_list_safe, list_text
from mailbridge.model.message import Message

#: byte -> how it stands in a form; the standard library's own table, without its call for every text
_FORM = tuple(quote_plus(bytes([byte])) for byte in range(256))
#: JSON and UTF-8 are asked for in every request (smsc-api.md 1.5)
_COMMON = "charset=utf-8&fmt=3"
#: each phone's own result, price and the balance (smsc-api.md 2.3, 2.4)
_SEND = "&cost=3&op=1&err=1"


def credentials(*, login: str | None, password: str | None, apikey: str | None) -> str:
    """Return the beginning of every body: who asks, how to answer. An apikey stands alone (smsc-api.md 1.4)."""
    who = f"apikey={_quote(apikey)}" if apikey else f"login={_quote(login or '')}&psw={_quote(password or '')}"
    return f"{who}&{_COMMON}"


def batch_key(message: Message) -> Hashable | None:
    """Return what messages of one request have in common; None: this one goes alone.

    Texts that are safe in a ``list`` may differ; others share a request only with the very same text.
    A message with a wanted id goes alone, for one request has one id.
    """
    if message.wanted_id is not None:
        return None
    shared = (message.channel, message.sender, message.translit, message.flash, message.time, message.valid)
    return shared if is_list_safe(message.text) else (*shared, message.text)


def send_body(prefix: str, batch: Batch) -> bytes:
    """Build the body of a ``send.php`` request for *batch*, whose messages have equal batch keys."""
    out = [prefix, _SEND, "&id=", _quote(batch.gateway_id), _options(batch.messages[0])]
    text = batch.messages[0].text
    if all(message.text == text for message in batch.messages):
        out += (
            "&phones=",
            _quote(",".join(m.phone for m in batch.messages)),
            "&mes=",
            _quote(escape_text(text)),
        )
    else:
        records = "\n".join(f"{m.phone}:{list_text(m.text)}" for m in batch.messages)
        out += ("&list=", _quote(records))
    return "".join(out).encode("ascii")


def price_body(prefix: str, message: Message) -> bytes:
    """Build the body of a ``send.php`` request that only asks for the price."""
    to = f"&cost=1&phones={_quote(message.phone)}&mes={_quote(escape_text(message.text))}"
    return (prefix + _options(message) + to).encode("ascii")


def status_body(prefix: str, queries: Sequence[StatusQuery]) -> bytes:
    """Build the body of a ``status.php`` request: paired lists, or one phone and one id (smsc-api.md 4.1)."""
    phones = ",".join(query.phone for query in queries)
    ids = ",".join(query.gateway_id for query in queries)
    return f"{prefix}&phone={_quote(phones)}&id={_quote(ids)}".encode("ascii")


def balance_body(prefix: str) -> bytes:
    """Build the body of a ``balance.php`` request."""
    return f"{prefix}&cur=1".encode("ascii")


def form_body(prefix: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Build the body of any request: *prefix* is ``credentials``, *fields* are sent as they are."""
    return "&".join([prefix, *(f"{_quote(name)}={_quote(value)}" for name, value in fields)]).encode("ascii")


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a message."""

    name: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


def multipart_body(
    prefix: str, fields: Iterable[tuple[str, str]], files: Sequence[File], boundary: str
) -> tuple[bytes, str]:
    """Build a body with *files* and name its content type (RFC 7578); *boundary* must stand in none of the values."""
    pairs = [*parse_qsl(prefix, keep_blank_values=True), *fields]
    out = bytearray()
    for name, value in pairs:
        head = f'Content-Disposition: form-data; name="{_escape_name(name)}"'
        out += f"--{boundary}\r\n{head}\r\n\r\n".encode() + value.encode(errors="replace") + b"\r\n"
    for number, file in enumerate(files):
        name, kind = _escape_name(file.name), file.content_type.replace("\r", "").replace("\n", "")
        head = f'Content-Disposition: form-data; name="file{number}"; filename="{name}"\r\nContent-Type: {kind}'
        out += f"--{boundary}\r\n{head}\r\n\r\n".encode(errors="replace") + file.content + b"\r\n"
    out += f"--{boundary}--\r\n".encode()
    return bytes(out), f"multipart/form-data; boundary={boundary}"


def _escape_name(text: str) -> str:
    """Write a name as forms have it (HTML, multipart/form-data encoding)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _options(message: Message) -> str:
    """Return what the messages of a batch share, as parameters; what has its default is left out."""
    out = ""
    if message.sender:
        out += f"&sender={_quote(message.sender)}"
    if message.translit:
        out += f"&translit={message.translit}"
    if message.flash:
        out += "&flash=1"
    if message.channel == "call":
        out += "&call=1"
    if message.time:
        out += f"&time={_quote(message.time)}"
    if message.valid:
        out += f"&valid={_quote(message.valid)}"
    return out


def _quote(text: str) -> str:
    return "".join(map(_FORM.__getitem__, text.encode(errors="replace")))

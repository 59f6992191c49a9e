"""Encoders that let foreign text into a mail of ours without ever starting a new line of its header.

Place in the flow: below ``dsn`` and ``notice``, which are made of nothing but these functions.
It must not trust a string: subjects, addresses and gateway words are written by others.
Everything here is pure and its output is ASCII with CRLF line ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.header import Header
from email.quoprimime import body_encode
from email.utils import format_datetime

CRLF = "\r\n"
#: octets of a line without its CRLF, RFC 5322 2.1.1
MAX_LINE = 998
#: more of a foreign string helps nobody and only makes a header unreadable
MAX_FIELD = 400
_SOFT_LINE = 76
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_XTEXT_CHAR = re.compile(r"\+([0-9A-F]{2})")
_MESSAGE_ID = re.compile(r"<?([!-;=?-~]+@[!-;=?-~]+)>?")


def one_line(text: str, limit: int = MAX_FIELD) -> str:
    """Return *text* as one line of at most *limit* characters: whatever does not print becomes a space."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def unstructured(name: str, text: str) -> str:
    """Return *text* as the value of an unstructured field called *name*: RFC 2047 where it is not plain ASCII.

    A text that merely looks like an encoded word is encoded, too, so that readers see what was written.
    """
    line = one_line(text)
    if line.isascii() and "=?" not in line:
        return Header(line, "us-ascii", header_name=name, maxlinelen=_SOFT_LINE).encode(linesep=CRLF)
    return Header(line, "utf-8", header_name=name, maxlinelen=_SOFT_LINE).encode(linesep=CRLF)


def plain_token(text: str) -> str:
    """Return *text* for the machine-read part: printable ASCII as it is, the rest as xtext (RFC 3461 4, ``+0D``)."""
    if _PRINTABLE_ASCII.fullmatch(text) and len(text) <= MAX_FIELD:
        return text
    octets = text.encode("utf-8", "surrogatepass")
    return "".join(chr(octet) if 0x20 <= octet <= 0x7E else f"+{octet:02X}" for octet in octets)[:MAX_FIELD]


def decode_xtext(text: str) -> str:
    """Return xtext decoded (RFC 3461 4); what is no valid xtext, or would decode to control characters, as it is."""
    if not _XTEXT.fullmatch(text):
        return text
    decoded = _XTEXT_CHAR.sub(lambda match: chr(int(match[1], 16)), text)
    return decoded if _PRINTABLE_ASCII.fullmatch(decoded) else text


def message_id(text: str) -> str | None:
    """Return *text* as a ``msg-id`` in angle brackets, or None where it is none that could stand in a header."""
    match = _MESSAGE_ID.fullmatch(text.strip())
    return f"<{match[1]}>" if match and len(match[1]) <= 250 else None


def field(name: str, value: str) -> str:
    """Return one header line, folded lines included, with its line end.

    Raises: ValueError for a value that is not ASCII or would begin another field; the encoders above never give one.
    """
    for line in value.split(CRLF + " "):
        if not _PRINTABLE_ASCII.fullmatch(line):
            raise ValueError(f"unsafe value for {name}")
    return f"{name}: {value}{CRLF}"


def date(at: datetime) -> str:
    """Return *at* as RFC 5322 3.3 wants it."""
    return format_datetime(at)


def text_part(text: str) -> str:
    """Return a text/plain part, header included: 7bit where that is possible, else quoted-printable."""
    if text.isascii() and all(len(line) <= _SOFT_LINE for line in text.split("\n")):
        return _part("text/plain; charset=us-ascii", "7bit", text.replace("\n", CRLF))
    encoded = body_encode(quoted_printable_ready(text), maxlinelen=_SOFT_LINE, eol=CRLF)
    return _part("text/plain; charset=utf-8", "quoted-printable", encoded)


def quoted_printable_ready(text: str) -> str:
    """Return *text* with each UTF-8 octet as one character, which is what ``email.quoprimime`` encodes."""
    return text.encode("utf-8", "replace").decode("latin-1")


def octets_part(content_type: str, octets: bytes) -> str:
    """Return a part of returned octets: 7bit where they are, else quoted-printable; line ends become CRLF."""
    lines = _LINE_END.sub(b"\r\n", octets).replace(b"\0", b"")
    if lines.isascii() and longest_line(lines) <= MAX_LINE:
        return _part(content_type, "7bit", lines.decode("ascii"))
    encoded = body_encode(lines.replace(b"\r\n", b"\n").decode("latin-1"), maxlinelen=_SOFT_LINE, eol=CRLF)
    return _part(content_type, "quoted-printable", encoded)


def normalise_line_ends(octets: bytes) -> bytes:
    """Return *octets* with every bare CR and bare LF as CRLF, so that nothing in them can end a mail early."""
    return _LINE_END.sub(b"\r\n", octets)


def longest_line(octets: bytes) -> int:
    """Return the length of the longest line without its CRLF."""
    return max(map(len, octets.split(b"\r\n")))


def join_header(fields: Sequence[tuple[str, str]]) -> str:
    """Return a header block, the empty line after it included."""
    return "".join(field(name, value) for name, value in fields) + CRLF


def _part(content_type: str, transfer_encoding: str, body: str) -> str:
    header = join_header([("Content-Type", content_type), ("Content-Transfer-Encoding", transfer_encoding)])
    return header + body

"""What follows MAIL FROM and RCPT TO: the path and the ESMTP parameters (RFC 5321 4.1.2, 1870, 6152, 3461, 4954).

Pure text to values. It must not judge an address: that is the doorman's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbridge.errors import Rejected
from mailbridge.model import reply
from mailbridge.model.reply import Reply

#: RFC 3461 4.4 and 4.2: the most characters of a parameter's value
ENVID_MAX = 100
ORCPT_MAX = 500

# every alternative begins with another character, so there is one way to match and no backtracking worth the name
_PATH = re.compile(r'<((?:[^"<>\\ ]|\\.|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?')
_BARE_PATH = re.compile(r'([^"<>\\ ]+)(?: +(.*))?')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_SIZE = re.compile(r"[0-9]{1,20}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_ADDR_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCommand:
    """``MAIL FROM:`` understood."""

    #: between the angle brackets; empty for the null sender
    path: str
    size_bytes: int = 0
    #: RFC 3461 4.4, decoded
    envid: str | None = None
    #: ``FULL`` or ``HDRS``
    ret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptCommand:
    """``RCPT TO:`` understood."""

    path: str
    notify: frozenset[str] | None = None
    #: as given, checked
    orcpt: str | None = None


def parse_mail(argument: str, *, legacy: bool = False) -> MailCommand:
    """Parse what follows ``MAIL ``; *legacy* does without angle brackets. Raises: Rejected with 501, 553 or 555."""
    path, parameters = _split(argument, "FROM:", bad_path=reply.BAD_SENDER, legacy=legacy)
    given = _parse_parameters(parameters, known=frozenset({"SIZE", "BODY", "RET", "ENVID", "AUTH"}))
    if "BODY" in given and given["BODY"].upper() not in {"7BIT", "8BITMIME"}:
        raise Rejected(reply.BAD_PARAMETER)
    if "SIZE" in given and not _SIZE.fullmatch(given["SIZE"]):
        raise Rejected(reply.BAD_PARAMETER)
    ret = given["RET"].upper() if "RET" in given else None
    if ret not in {None, "FULL", "HDRS"}:
        raise Rejected(reply.BAD_PARAMETER)
    if "AUTH" in given and given["AUTH"] != "<>":
        decode_xtext(given["AUTH"])
    envid = given.get("ENVID")
    if envid is not None and len(envid) > ENVID_MAX:
        raise Rejected(reply.BAD_PARAMETER)
    return MailCommand(
        path=path,
        size_bytes=int(given.get("SIZE", "0")),
        envid=None if envid is None else decode_xtext(envid),
        ret=ret,
    )


def parse_rcpt(argument: str, *, legacy: bool = False) -> RcptCommand:
    """Parse what follows ``RCPT ``; *legacy* does without angle brackets. Raises: Rejected with 501, 553 or 555."""
    path, parameters = _split(argument, "TO:", bad_path=reply.BAD_ADDRESS, legacy=legacy)
    if not parameters:
        return RcptCommand(path=path)
    given = _parse_parameters(parameters, known=frozenset({"NOTIFY", "ORCPT"}))
    return RcptCommand(
        path=path,
        notify=_parse_notify(given["NOTIFY"]) if "NOTIFY" in given else None,
        orcpt=_check_orcpt(given["ORCPT"]) if "ORCPT" in given else None,
    )


def decode_xtext(text: str) -> str:
    """Decode RFC 3461 4 xtext. Raises: Rejected where it is none, or hides anything but printable ASCII."""
    if not _XTEXT.fullmatch(text):
        raise Rejected(reply.BAD_PARAMETER)
    decoded = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not decoded.isascii() or not decoded.isprintable():
        raise Rejected(reply.BAD_PARAMETER)
    return decoded


def _split(argument: str, keyword: str, *, bad_path: Reply, legacy: bool) -> tuple[str, str]:
    """Return the path and the text of the parameters. A space after the colon is common, and harmless."""
    if argument[: len(keyword)].upper() != keyword:
        raise Rejected(reply.BAD_ARGUMENT)
    found = _PATH.fullmatch(argument[len(keyword) :].strip(" "))
    if found is None and legacy:
        found = _BARE_PATH.fullmatch(argument[len(keyword) :].strip(" "))
    if found is None:
        raise Rejected(bad_path)
    return found[1], found[2] or ""


def _parse_parameters(text: str, *, known: frozenset[str]) -> dict[str, str]:
    """Return the parameters by upper-case keyword; every one we know has a value."""
    given: dict[str, str] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise Rejected(reply.BAD_PARAMETER)
        keyword, value = found[1].upper(), found[2]
        if keyword not in known:
            raise Rejected(reply.UNKNOWN_PARAMETER)
        if keyword in given or value is None:
            raise Rejected(reply.BAD_PARAMETER)
        given[keyword] = value
    return given


def _parse_notify(value: str) -> frozenset[str]:
    """RFC 3461 4.1: ``NEVER`` alone, or any of the three others."""
    words = frozenset(value.upper().split(","))
    if words != {"NEVER"} and not words <= _NOTIFY:
        raise Rejected(reply.BAD_PARAMETER)
    return words


def _check_orcpt(value: str) -> str:
    """RFC 3461 4.2: ``addr-type ";" xtext``."""
    kind, semicolon, address = value.partition(";")
    if len(value) > ORCPT_MAX or not semicolon or not address or not _ADDR_TYPE.fullmatch(kind):
        raise Rejected(reply.BAD_PARAMETER)
    decode_xtext(address)
    return value

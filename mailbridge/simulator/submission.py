"""send.php's parameters as one value: what is to be sent to whom (smsc-api.md sections 2.1, 2.2, 2.5 and 8.2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbridge.simulator.alphabet import BINARY, count_parts, cut_to_parts, parts_of_length, transliterate
from mailbridge.simulator.params import BadParameters, Params
from mailbridge.simulator.phones import Number, parse_numbers
from mailbridge.simulator.schedule import parse_time, parse_valid, parse_zone

COMMENT_MARK = "\n~~~\n"
#: beginning of a text -> kind of message, smsc-api.md section 8.2
PREFIXES: dict[str, str] = {
    "__CALL__": "call", "__VIBER__": "viber", "__SOC__": "soc", "__PING__": "ping", "__HLR__": "hlr",
}  # fmt: skip
#: flags in the order they win -> kind
_KINDS: dict[str, str] = {
    "hlr": "hlr", "ping": "ping", "mms": "mms", "mail": "mail", "call": "call", "viber": "viber", "whatsapp": "viber",
    "soc": "soc", "tg": "soc", "push": "push", "bin": "bin", "flash": "flash",
}  # fmt: skip
#: kinds that show nobody a text
SILENT = frozenset({"hlr", "ping"})
#: kinds that a file alone makes whole
_WITH_FILES = frozenset({"mms", "call", "viber"})

_ID = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
_RECORD = re.compile(r"(?:(?P<head>[^|\n:;]*)\|)?(?P<phones>[^:;\n]*)[:;](?P<text>.*)", re.DOTALL)
_RECORD_START = re.compile(r"(?:[^|\n:;]*\|)?[ +()\d,-]+[:;]", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text as the gateway made it."""

    kind: str
    #: as the handset shows it
    shown: str
    comment: str
    alphabet: str
    parts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One text to one number."""

    number: Number
    #: as the request had it
    mes: str
    text: Text
    #: None: the request names none
    sender: str | None
    send_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A whole request."""

    items: tuple[Item, ...]
    #: None: the gateway gives one
    message_id: str | None
    kind: str
    translit: int
    valid_s: float
    cost: int
    op: bool
    err: bool
    #: a call that dictates a code of its own
    wants_code: bool


def parse_submission(params: Params, *, now: float, zone_h: float, max_chars: int) -> Submission:
    """Return what *params* ask to send.

    Raises: BadParameters (error 1), BadDate (error 5); the first wins.
    """
    kind = next((kind for flag, kind in _KINDS.items() if params.flag(flag)), "sms")
    message_id = params.text("id").strip()
    if message_id in {"", "0"}:
        message_id = ""
    elif not _ID.fullmatch(message_id):
        raise BadParameters
    translit = params.number("translit", 0, 2)
    max_parts = params.number("maxsms", 0, 255)
    cost = params.number("cost", 0, 3)
    valid_s = parse_valid(params.text("valid"))
    zone = parse_zone(params.text("tz"), zone_h)
    records = _records(params, kind)
    binary = params.number("bin", 0, 2)
    texts = [
        compose(mes, kind, translit=translit, max_parts=max_parts, max_chars=max_chars, binary=binary)
        for _, mes, _, _ in records
    ]
    moments = [
        parse_time(params.text("time"), now=now, zone_h=parse_zone(own_zone, zone)) for _, _, _, own_zone in records
    ]
    items = tuple(
        Item(
            number=number,
            mes=mes,
            text=text,
            sender=params.values.get("sender") if own_sender is None else own_sender,
            send_at=send_at,
        )
        for (numbers, mes, own_sender, _), text, send_at in zip(records, texts, moments, strict=True)
        for number in numbers
    )
    if not items:
        raise BadParameters
    return Submission(
        items=items,
        message_id=message_id or None,
        kind=kind,
        translit=translit,
        valid_s=valid_s,
        cost=cost,
        op=params.flag("op"),
        err=params.flag("err"),
        wants_code=kind == "call" and params.text("mes") == "code",
    )


_Record = tuple[tuple[Number, ...], str, str | None, str]


def _records(params: Params, kind: str) -> list[_Record]:
    """Return (numbers, text, sender, tz) for each text of the request."""
    if listing := params.text("list"):
        return [_parse_record(line) for line in _split_list(listing, own_breaks=params.flag("nl")) if line.strip()]
    phones, mes = params.text("phones"), params.text("mes").replace("\r\n", "\n")
    whole = bool(mes) or kind in SILENT or (kind in _WITH_FILES and bool(params.files or params.text("fileurl")))
    if not phones.strip() or not (whole or (kind == "mms" and params.text("subj"))):
        raise BadParameters
    if kind == "mail":
        if not (params.text("subj") and params.text("sender")):
            raise BadParameters
        addresses = [piece.strip() for piece in re.split("[,;]", phones) if piece.strip()]
        return [(tuple(Number(digits=address, good="@" in address) for address in addresses), mes, None, "")]
    return [(parse_numbers(phones), mes, None, "")]


def _split_list(listing: str, *, own_breaks: bool) -> list[str]:
    """Return the records of ``list``; with ``nl=1`` one begins only at a line that looks like its beginning."""
    lines = listing.replace("\r\n", "\n").split("\n")
    if not own_breaks:
        return lines
    records: list[str] = []
    for line in lines:
        if records and not _RECORD_START.match(line):
            records[-1] += "\n" + line
        else:
            records.append(line)
    return records


def _parse_record(line: str) -> _Record:
    """Return one record ``[sender[,tz]|]phones:text``."""
    match = _RECORD.fullmatch(line)
    if match is None:
        raise BadParameters
    numbers, mes = parse_numbers(match["phones"]), match["text"].replace("\\n", "\n")
    if not numbers or not mes:
        raise BadParameters
    if match["head"] is None:
        return numbers, mes, None, ""
    sender, _, zone = match["head"].partition(",")
    return numbers, mes, sender.strip(), zone


def compose(mes: str, kind: str, *, translit: int, max_parts: int, max_chars: int, binary: int = 0) -> Text:
    """Return what becomes of *mes*: prefix and comment taken off, transliterated, cut, counted.

    Raises: BadParameters.
    """
    body, _, comment = mes.partition(COMMENT_MARK)
    for prefix, meant in PREFIXES.items():
        if body.startswith(prefix):
            kind, body = meant, body.removeprefix(prefix)
            break
    if len(body) > max_chars:
        raise BadParameters
    if kind == "bin":
        return _compose_binary(body, comment, in_hex=binary == 2)
    if kind in SILENT:
        return Text(kind=kind, shown="", comment=comment, alphabet="gsm", parts=1)
    shown = transliterate(body, translit)
    if max_parts:
        shown = cut_to_parts(shown, max_parts)
    alphabet, parts = count_parts(shown)
    return Text(kind=kind, shown=shown, comment=comment, alphabet=alphabet, parts=parts)


def _compose_binary(body: str, comment: str, *, in_hex: bool) -> Text:
    """Return a binary message: ``bin=2`` writes it in hex."""
    if in_hex:
        try:
            length = len(bytes.fromhex(body))
        except ValueError as problem:
            raise BadParameters from problem
    else:
        length = len(body)
    return Text(kind="bin", shown=body, comment=comment, alphabet=BINARY, parts=parts_of_length(length, BINARY))

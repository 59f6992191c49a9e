"""What a mail may ask for its message: ``X-SMS-…`` headers and ``+name=value`` in the recipient address.

Headers win over address options, those over rules, those over the defaults (``Options.over``). Pure, given the time.
Must not decide what a wrong option costs: parsers raise ``ValueError`` with what to write instead; ``read_headers``
refuses the mail where a misunderstanding would send at a wrong time or over a wrong channel, and notes everything else.

Sources: smsc-api.md section 2.2 (``time forms``, ``valid``, ``id``) and 9.3 (sender names).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from mailbridge.config.units import parse_duration
from mailbridge.errors import Rejected
from mailbridge.model import reply

#: channels that exist today; ``flash`` is an SMS shown at once
CHANNELS = frozenset({"sms", "flash"})
FITS = ("faithful", "folded", "cheapest")
#: as ``message.max_parts`` of the configuration
MAX_PARTS = 20

_HEADER_PREFIX = "x-sms-"
_X = frozenset({"x", "X"})
_MAX_SENDER_CHARS = 64
_MAX_NUMBER_ID = 2**31 - 1
_YES = frozenset({"", "1", "yes", "true", "on", "y"})
_NO = frozenset({"0", "no", "false", "off", "n"})
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,40}")
_SENDER_FORM = re.compile(r"\+?[0-9]{1,15}|[A-Za-z0-9 ._\-&!+]{1,11}")
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(?::(\d\d)(?:\.\d{1,9})?)?[ ]?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)
_COMPACT = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", re.ASCII)
_DOTTED = re.compile(r"(\d\d)\.(\d\d)\.(\d\d) +(\d\d):(\d\d)", re.ASCII)
_WINDOW = re.compile(r"(\d{1,2})-(\d{1,2})", re.ASCII)
_UNIX = re.compile(r"0(\d{10})", re.ASCII)
_MINUTES = re.compile(r"\+(\d{1,6})", re.ASCII)
_HOURS = re.compile(r"\d{1,2}", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)", re.ASCII)
_DAY_MINUTES = 24 * 60
_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for; None where nothing was."""

    sender: str | None = None
    #: ``0``, ``1``, ``2`` or ``auto``
    translit: str | None = None
    text: str | None = None
    #: in one of the gateway's forms; empty means now
    time: str | None = None
    #: hours ``1``..``24`` or ``hh:mm``
    valid: str | None = None
    flash: bool | None = None
    max_parts: int | None = None
    channel: str | None = None
    wanted_id: str | None = None
    #: ``faithful``, ``folded`` or ``cheapest``
    fit: str | None = None
    #: a template in place of the configuration's; only rules set one, for a mail's text is never compiled
    template: str | None = None
    #: longest line of a device profile, in parts
    line_parts: int | None = None
    #: a line that stands last, whatever is cut
    ending: str | None = None

    def over(self, weaker: Options) -> Options:
        """Return these options, completed by *weaker* ones."""
        if self is NOTHING:
            return weaker
        asked = {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}
        return replace(weaker, **asked) if asked else weaker


NOTHING = Options()
_FIELDS = tuple(field.name for field in fields(Options))


def clean_value(value: str) -> str:
    """Return *value* without control characters and outer blanks: an option is one line of text."""
    return _NOT_TEXT.sub(" ", value).strip()


def _clean_text(value: str) -> str:
    """Return *value* without control characters but line ends."""
    return "\n".join(clean_value(line) for line in value.split("\n")).strip()


def parse_sender(value: str) -> str:
    """Read a sender name. Odd ones pass: which names an account may use only the gateway knows."""
    if not value:
        raise ValueError("write a sender name")
    return value[:_MAX_SENDER_CHARS]


def parse_translit(value: str) -> str:
    """Read ``0``, ``1``, ``2`` or ``auto``."""
    if value.lower() not in {"0", "1", "2", "auto"}:
        raise ValueError("write 0, 1, 2 or auto")
    return value.lower()


def parse_text(value: str) -> str:
    """Read a text that replaces the mail's own."""
    if not value:
        raise ValueError("write the text")
    return value


def parse_flash(value: str) -> bool:
    """Read a yes or no; nothing at all is a yes."""
    if value.lower() in _YES:
        return True
    if value.lower() in _NO:
        return False
    raise ValueError("write 1 or 0")


def parse_max_parts(value: str) -> int:
    """Read a number of parts."""
    if value.isascii() and value.isdigit() and len(value) <= 4 and 1 <= int(value) <= MAX_PARTS:
        return int(value)
    raise ValueError(f"write a number from 1 to {MAX_PARTS}")


def parse_fit(value: str) -> str:
    """Read how far a text may be changed to save parts."""
    if value.lower() not in FITS:
        raise ValueError("write faithful, folded or cheapest")
    return value.lower()


def parse_label(value: str) -> str:
    """Read a client's own id: 1 to 2147483647, or up to 40 of ``A-Z a-z 0-9 . _ -`` (smsc-api.md 2.2, ``id``)."""
    if _LABEL.fullmatch(value) is None or (value.isdigit() and not 1 <= int(value) <= _MAX_NUMBER_ID):
        raise ValueError("write a number from 1 to 2147483647 or up to 40 of A-Z a-z 0-9 . _ -")
    return str(int(value)) if value.isdigit() else value


def parse_channel(value: str) -> str:
    """Read the name of a channel."""
    if value.lower() not in CHANNELS:
        raise ValueError("write " + " or ".join(sorted(CHANNELS)))
    return value.lower()


def parse_time(value: str, now: datetime | None = None) -> str:
    """Read when to send; return it in one of the gateway's forms, empty for now.

    RFC 3339 becomes ``0<unix time>``, and a past moment means now where *now* is given.
    The gateway's absolute forms pass as they are: they are in the zone of the account, which we don't know.
    """
    if value in {"", "0"} or value.lower() == "now":
        return ""
    if match := _RFC_3339.fullmatch(value):
        return _unix_form(_moment(match), now)
    if match := _UNIX.fullmatch(value):
        return _unix_form(int(match[1]), now)
    if match := (_COMPACT.fullmatch(value) or _DOTTED.fullmatch(value)):
        day, month, year, hour, minute = (int(piece) for piece in match.groups())
        datetime(2000 + year, month, day, hour, minute, tzinfo=UTC)  # ValueError where there is no such day
        return value
    if (match := _WINDOW.fullmatch(value)) and int(match[1]) < 24 and int(match[2]) <= 24 and match[1] != match[2]:
        return value
    if match := _MINUTES.fullmatch(value):
        return f"+{int(match[1])}" if int(match[1]) else ""
    raise ValueError("write 2026-01-31T09:00:00+03:00, DDMMYYhhmm, DD.MM.YY hh:mm, h1-h2, 0<unix time> or +minutes")


def parse_valid(value: str) -> str:
    """Read how long the operator shall try: ``2h``, ``90m``, ``1h30m``, hours ``1``..``24`` or ``hh:mm``.

    Shape: ``1``..``24`` or ``hh:mm`` from 00:01 to 24:00 (smsc-api.md 2.2, ``valid``).
    """
    if _HOURS.fullmatch(value):
        minutes = int(value) * 60
    elif match := _CLOCK.fullmatch(value):
        minutes = int(match[1]) * 60 + int(match[2])
        if int(match[2]) < 60 and 1 <= minutes <= _DAY_MINUTES:
            return f"{minutes // 60:02}:{minutes % 60:02}"
        minutes = 0
    else:
        minutes = int(parse_duration(value.lower())) // 60 if len(value) <= 12 else 0
    if not 1 <= minutes <= _DAY_MINUTES:
        raise ValueError("write 2h, 90m or hh:mm, 24h at most")
    hours, rest = divmod(minutes, 60)
    return f"{hours:02}:{rest:02}" if rest else str(hours)


def _unix_form(moment: int, now: datetime | None) -> str:
    return "" if now is not None and moment <= now.timestamp() else f"0{moment}"


def _moment(match: re.Match[str]) -> int:
    day, clock, second, zone = match.groups()
    # a leap second is the last one of its minute
    second = "59" if second == "60" else second or "00"
    moment = int(datetime.fromisoformat(f"{day}T{clock}:{second}{zone.upper()}").timestamp())
    if len(str(moment)) != 10:
        raise ValueError("write a moment between the years 2001 and 2286")
    return moment


_Parser = Callable[[str], object]
#: every spelling of an option's name, lower case with ``-`` -> field and parser; ``time`` also needs the clock
_OPTIONS: dict[str, tuple[str, _Parser]] = {
    "sender": ("sender", parse_sender),
    "translit": ("translit", parse_translit),
    "text": ("text", parse_text),
    "time": ("time", parse_time),
    "valid": ("valid", parse_valid),
    "flash": ("flash", parse_flash),
    "max-parts": ("max_parts", parse_max_parts),
    "maxparts": ("max_parts", parse_max_parts),
    "parts": ("max_parts", parse_max_parts),
    "channel": ("channel", parse_channel),
    "id": ("wanted_id", parse_label),
    "fit": ("fit", parse_fit),
}
_NOT_IN_ADDRESSES = frozenset({"text"})
#: a misunderstanding of these sends at a wrong time or over a wrong channel: better not at all
_STRICT = {"time": reply.BAD_TIME, "valid": reply.BAD_VALID, "channel": reply.BAD_CHANNEL}


def normal_name(name: str) -> str:
    """Return the one spelling of an option's name: ``Max_Parts`` -> ``max-parts``."""
    return name.strip().lower().replace("_", "-")


def read_address(options: Iterable[tuple[str, str]], now: datetime | None = None) -> Options:
    """Read address options; the last of a name wins.

    Raises: ValueError for an unknown name or a bad value. With *now* a past time means now.
    """
    asked: dict[str, object] = {}
    for name, value in options:
        spelling = normal_name(name)
        if spelling not in _OPTIONS or spelling in _NOT_IN_ADDRESSES:
            raise ValueError(f"no option is called {name}")
        field, parse = _OPTIONS[spelling]
        if field == "translit" and not value:
            value = "1"  # noqa: PLW2901 - a bare +translit asks for it
        asked[field] = parse_time(value, now) if field == "time" else parse(clean_value(value))
    return Options(**asked) if asked else NOTHING  # type: ignore[arg-type]  # each parser returns its field's type


def read_headers(headers: Iterable[tuple[str, str]], now: datetime) -> tuple[Options, tuple[str, ...]]:
    """Read a mail's ``X-SMS-…`` header fields; the first of a name counts.

    Shape: the options and, in words, what was ignored and why.
    Raises: Rejected for a time, validity or channel that is not understood.
    """
    asked: dict[str, object] = {}
    notes: list[str] = []
    for name, raw in headers:
        if name[:1] not in _X or name[: len(_HEADER_PREFIX)].lower() != _HEADER_PREFIX:
            continue
        known = _OPTIONS.get(normal_name(name[len(_HEADER_PREFIX) :]))
        if known is None:
            notes.append(f"{name}: no such option, ignored")
            continue
        field, parse = known
        if field in asked:
            notes.append(f"{name}: given twice, the first counts")
            continue
        value = _clean_text(raw) if field == "text" else clean_value(raw)
        try:
            asked[field] = parse_time(value, now) if field == "time" else parse(value)
        except ValueError as error:
            # a device's template that was not filled in asks for nothing
            if field in _STRICT and value:
                raise Rejected(_STRICT[field], f"{name}: {value[:60]!r}: {error}") from error
            notes.append(f"{name}: {value[:60]!r} ignored: {error}")
    options = Options(**asked) if asked else NOTHING  # type: ignore[arg-type]  # each parser returns its field's type
    return options, tuple(notes)


def sender_note(sender: str) -> str | None:
    """Say what is odd about a sender name, None for a common one. It is passed on all the same (smsc-api.md 9.3)."""
    if not sender or _SENDER_FORM.fullmatch(sender):
        return None
    return f"sender name {sender!r} is longer or stranger than the gateway documents (11 characters or 15 digits)"

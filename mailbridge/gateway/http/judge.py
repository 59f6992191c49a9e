"""What a described carrier's answer means: from bytes to outcomes, receipts and balances. Pure, and total.

Must not guess in a message's favour: what no error and no success of the definition fits is ``Unknown``, and so is
every redirect. An error wins over a success, for a message that may have been refused must not be called sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mailbridge.config.answers import ANY, as_word, follow, parse_place
from mailbridge.config.model_http import HttpError, HttpMatch, HttpQuestion
from mailbridge.config.patterns import PREFIX, compile_pattern
from mailbridge.gateway.smsc.answers import Garbage, as_money, clean_text, decode_json
from mailbridge.gateway.transport import HttpAnswer

#: state of a definition -> status of a receipt; the numbers are SMSC's, so one table reads them all
STATUS_OF = {"sent": 0, "delivered": 1, "expired": 3, "undelivered": 20}
#: no id that a callback or a person could name is longer
_MAX_ID = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, read once."""

    answer: HttpAnswer
    text: str
    #: parsed JSON; None where the body is none
    data: object


def hear(answer: HttpAnswer) -> Heard:
    """Read *answer*: UTF-8, else Latin-1, which has a letter for every byte."""
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        text = answer.body.decode("latin-1")
    data = decode_json(text.strip("\ufeff\x00 \t\r\n"))
    return Heard(answer, text, None if isinstance(data, Garbage) else data)


def fits(match: HttpMatch, heard: Heard, *, default_status: tuple[str, ...] = ()) -> bool:
    """Tell whether everything that *match* asks for is so."""
    status = str(heard.answer.status)
    if status.startswith("3"):
        return False
    wanted = tuple(match.status) or default_status
    if wanted and status not in wanted and f"{status[0]}xx" not in wanted:
        return False
    for path, value in match.json_.items():
        found = as_word(follow(heard.data, path))
        if found is None or not _is(value, found):
            return False
    return match.body is None or search(match.body, heard.text) is not None


def _is(wanted: str, found: str) -> bool:
    if wanted.startswith(PREFIX):
        return search(wanted.removeprefix(PREFIX), found) is not None
    return wanted in (ANY, found)


def search(pattern: str, text: str) -> str | None:
    """Return the first group of *pattern* in *text*, the whole find where it has none; None where it is not found."""
    found = compile_pattern(pattern).search(text.encode(errors="replace"))
    if found is None:
        return None
    group = found.group(1) if found.re.groups else found.group(0)
    return (group or b"").decode(errors="replace")


def find_error(errors: list[HttpError], heard: Heard) -> HttpError | None:
    """Return the first of *errors* that fits."""
    return next((error for error in errors if fits(error, heard)), None)


def word_at(place: str | None, heard: Heard) -> str | None:
    """Return what stands at *place* of the answer; None where nothing does."""
    if place is None:
        return None
    where = parse_place(place)
    match where.kind:
        case "json":
            return as_word(follow(heard.data, where.what))
        case "header":
            return heard.answer.header(where.what)
        case _:
            return search(where.what, heard.text)


def id_at(place: str | None, heard: Heard) -> str:
    """Return the carrier's id; empty where there is none, or none that can be one."""
    word = (word_at(place, heard) or "").strip()
    return word if word.isprintable() and " " not in word and len(word) <= _MAX_ID else ""


def money_at(place: str | None, heard: Heard) -> Decimal | None:
    """Return a sum; None where there is none."""
    word = word_at(place, heard)
    return None if word is None else as_money(word)


def state_of(question: HttpQuestion, heard: Heard) -> tuple[str, str] | None:
    """Return (state, the carrier's word) of an answer to a question; None where it says nothing known."""
    for path, meanings in question.json_.items():
        word = as_word(follow(heard.data, path))
        if word is not None and word in meanings:
            return meanings[word], clean_text(word)
    for pattern, state in question.words.items():
        if (found := search(pattern, heard.text)) is not None:
            return state, clean_text(found)
    return None


def event_of(states: Mapping[str, Mapping[str, str]], fields: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (state, the carrier's word) of a callback's fields; None where they say nothing known."""
    for name, meanings in states.items():
        word = fields.get(name)
        if word is not None and word in meanings:
            return meanings[word], clean_text(word)
    return None

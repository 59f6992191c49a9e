"""How a text travels over the air: alphabet, parts, and cutting to a number of parts.

Third step of composing, after the text stands. Pure. Must not change a character other than by cutting at the end:
replacing is ``fold.py``'s work.

Sources: 3GPP TS 23.038 sections 6.2.1 and 6.2.1.1 (the two tables), 3GPP TS 23.040 section 9.2.3.24.1 (part sizes
with a concatenation header), smsc-api.md section 9.1.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from mailbridge.model.message import Alphabet

#: 3GPP TS 23.038 6.2.1, the default alphabet by code 0x00..0x7F, sixteen to a line; 0x1B escapes to the extension
GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
#: 3GPP TS 23.038 6.2.1.1, the extension table: each costs two septets, the escape and this code
GSM_EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
#: units of one part alone, and of each part of several (the rest is the concatenation header)
SINGLE_UNITS = {Alphabet.GSM7: 160, Alphabet.UCS2: 70}
MULTI_UNITS = {Alphabet.GSM7: 153, Alphabet.UCS2: 67}
#: longest text the gateway takes, in characters (smsc-api.md 2.2, ``mes``)
MAX_TEXT_CHARS = 1000

_ELLIPSIS = {Alphabet.GSM7: "...", Alphabet.UCS2: "…"}
#: how far back a cut looks for the end of a word
_WORD_CHARS = 20
#: how far back a cut looks for the start of a composed character
_CLUSTER_CHARS = 32
#: every character that can travel in seven bits
GSM_CHARS = frozenset(GSM_BASIC.replace("\x1b", "")) | frozenset(GSM_EXTENSION.values())
_NOT_GSM = re.compile("[^" + "".join(re.escape(c) for c in sorted(GSM_CHARS)) + "]")
_TWO_SEPTETS = re.compile("[" + "".join(re.escape(c) for c in GSM_EXTENSION.values()) + "]")
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")
_WIDE = {Alphabet.GSM7: _TWO_SEPTETS, Alphabet.UCS2: _TWO_UNITS}
_ZWJ = "\u200d"


def is_gsm(text: str) -> bool:
    """Tell whether *text* can travel in the GSM default alphabet and its extension table."""
    return _NOT_GSM.search(text) is None


def alphabet_of(text: str) -> Alphabet:
    """Return the cheaper alphabet that holds all of *text*."""
    return Alphabet.GSM7 if _NOT_GSM.search(text) is None else Alphabet.UCS2


def count_segments(text: str) -> tuple[Alphabet, int, int]:
    """Count the parts of *text*.

    Shape: alphabet, parts (at least 1), units.
    Units: septets (GSM, extension characters two) or 16-bit units (UCS-2, a surrogate pair two).
    """
    alphabet = alphabet_of(text)
    wide = len(_WIDE[alphabet].findall(text))
    units = len(text) + wide
    if units <= SINGLE_UNITS[alphabet]:
        return alphabet, 1, units
    if wide:
        return alphabet, len(_cut_points(text, alphabet)), units
    return alphabet, -(-units // MULTI_UNITS[alphabet]), units


def split_segments(text: str) -> list[str]:
    """Split *text* into the parts it travels in.

    Shape: non-empty list; joined it equals the input. A character of two units is never torn.
    """
    alphabet, parts, _ = count_segments(text)
    if parts == 1:
        return [text]
    ends = _cut_points(text, alphabet)
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def fit(
    text: str, max_parts: int, *, as_sent: Callable[[str], str] | None = None, max_chars: int = MAX_TEXT_CHARS
) -> str:
    """Cut *text* to at most *max_parts* parts and *max_chars* characters, marking the cut with an ellipsis.

    The cut falls between words where one ends near by, else between characters as a reader sees them.
    *as_sent* is what the gateway will do to the text before counting (its transliteration), for counting only.
    The ellipsis is ``...`` where ``…`` would by itself turn the text to UCS-2.
    """
    measured = as_sent or _unchanged
    head = text[: max_chars + 1]
    if len(text) <= max_chars and count_segments(measured(text))[1] <= max_parts:
        return text
    low, high = 0, min(len(head), max_chars)
    if as_sent is None and is_gsm(head) and _TWO_SEPTETS.search(head) is None:
        # each character is one septet: the place of the cut is known
        room = SINGLE_UNITS[Alphabet.GSM7] if max_parts == 1 else MULTI_UNITS[Alphabet.GSM7] * max_parts
        low = high = max(0, min(room, max_chars) - len(_ELLIPSIS[Alphabet.GSM7]))
    while low < high:
        middle = (low + high + 1) // 2
        cut = _with_ellipsis(head[:middle], measured)
        if len(cut) <= max_chars and count_segments(measured(cut))[1] <= max_parts:
            low = middle
        else:
            high = middle - 1
    end = _readable_end(head, low)
    return _with_ellipsis(head[:end].rstrip(), measured)


def _unchanged(text: str) -> str:
    return text


def _with_ellipsis(text: str, measured: Callable[[str], str]) -> str:
    return text + _ELLIPSIS[alphabet_of(measured(text))]


def _cut_points(text: str, alphabet: Alphabet) -> list[int]:
    """Return where each part ends, filling each as far as it goes."""
    room, wide = MULTI_UNITS[alphabet], _WIDE[alphabet]
    ends: list[int] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + room)
        # every wide character takes one character's place away; taking it away may also drop a wide one
        while (over := (end - start) + len(wide.findall(text, start, end)) - room) > 0:
            end -= (over + 1) // 2
        ends.append(end)
        start = end
    return ends or [0]


def _readable_end(text: str, end: int) -> int:
    """Return the best place to cut at or shortly before *end*, which lies within the text."""
    if not text[end].isspace():
        space = max(text.rfind(" ", max(0, end - _WORD_CHARS), end), text.rfind("\n", max(0, end - _WORD_CHARS), end))
        if space > 0:
            return space
    for earlier in range(end, max(0, end - _CLUSTER_CHARS), -1):
        if not _continues(text, earlier):
            return earlier
    return end


def _continues(text: str, at: int) -> bool:
    """Tell whether the character at *at* belongs to the one before it (marks, joiners, skin tones, flags)."""
    here, before = text[at], text[at - 1]
    if _ZWJ in {here, before} or unicodedata.category(here) in {"Mn", "Me", "Mc"}:
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff":
        return True
    if _is_flag_letter(here) and _is_flag_letter(before):
        run = at
        while run > 0 and _is_flag_letter(text[run - 1]):
            run -= 1
        return (at - run) % 2 == 1
    return False


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"

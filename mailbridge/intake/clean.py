"""Characters that nobody can see or that steer a terminal leave here; everything else stays as written.

Used by every reader of the intake; pure.
"""

from __future__ import annotations

import re
import unicodedata

#: CSI and OSC sequences of ECMA-48 (colours, titles), seven-bit and eight-bit
_ANSI = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[@-Z\\\\-_]?")
#: line and paragraph separators, vertical tab, form feed, NEL, file/group/record separators
_LINE_ENDS = re.compile("\r+\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
#: C0 and C1 but newline; soft hyphen; grapheme joiner and fillers; zero-width, bidi and invisible format characters;
#: variation selectors; surrogates; interlinear and tag characters; noncharacters
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
#: spaces of all widths, and the blank braille cell
_SPACES = re.compile("[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]+")
#: a letter and its mark apart, as some file systems write them: two characters of an SMS for one
_DECOMPOSED = re.compile("[A-Za-z\u0400-\u04ff][\u0300-\u030c]")


def clean_text(text: str) -> str:
    """Return *text* with ``\\n`` as its only control character; spaces of any width are one plain space."""
    if text.isascii():
        if text.isprintable():
            return _SPACES.sub(" ", text) if "  " in text else text
    else:
        text = _DECOMPOSED.sub(lambda pair: unicodedata.normalize("NFC", pair[0]), text)
        if text.isprintable():
            return _SPACES.sub(" ", text)
    if text.isascii():
        # a plain body: nothing in it but line ends, or tabs, which count as spaces
        plain = text.replace("\r\n", "\n")
        if plain.replace("\n", " ").replace("\t", " ").isprintable():
            return _SPACES.sub(" ", plain) if "  " in plain or "\t" in plain else plain
    if "\x1b" in text or "\x9b" in text:
        text = _ANSI.sub("", text)
    text = _LINE_ENDS.sub("\n", text)
    return _SPACES.sub(" ", _UNSEEN.sub("", text))


def clean_line(text: str) -> str:
    """Return *text* as one line without control characters: a header value, a file name."""
    text = clean_text(text)
    if "\n" in text:
        text = _SPACES.sub(" ", text.replace("\n", " "))
    return text.strip()

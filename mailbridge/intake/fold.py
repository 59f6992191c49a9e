"""Replacing characters so that a text travels in the cheaper alphabet.

Two strengths: ``fold`` changes typography only and never loses meaning; ``transliterate`` writes other scripts in
Latin letters.
``gateway_translit`` foretells what the gateway does for ``translit=1`` and ``2``, for counting parts only. Pure.
Nothing ever becomes ``?``: a character for which there is no honest replacement stays as it is.

Source of the gateway's tables: smsc-api.md section 9.2 (marked uncertain there).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from anyascii import anyascii

from mailbridge.intake.segments import GSM_CHARS, is_gsm

#: typography -> what the GSM alphabet has for it; rows are grouped by kind
TYPOGRAPHY = {
    # quotes
    **dict.fromkeys("‘’‚‛′‹›`´ʼʹˈ", "'"),
    **dict.fromkeys("“”„‟″«»〝〞", '"'),
    # dashes and hyphens, minus sign
    **dict.fromkeys("‐‑‒–—―−⁃﹘﹣－─━", "-"),
    # spaces of all widths, tabulators
    **dict.fromkeys("\t\v\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007", " "),
    **dict.fromkeys("\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u0085\u2028\u2029", "\n"),
    # not to be seen: zero widths, soft hyphen, direction marks, byte order mark, variation selectors
    **dict.fromkeys("\u00ad\u034f\u061c\u180e\u200b\u200c\u200e\u200f\u2060\ufeff\ufe0e\ufe0f", ""),
    **dict.fromkeys("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", ""),
    # bullets and rules
    **dict.fromkeys("•‣▪▫●○◦∙◾◽■□⁎∗", "*"),
    **dict.fromkeys("·‧・", "-"),
    **dict.fromkeys("│┃¦∣", "|"),
    # arrows
    **dict.fromkeys("→➔➜➞⟶➙►▶", "->"),
    **dict.fromkeys("←⟵◄◀", "<-"),
    **dict.fromkeys("↔⟷", "<->"),
    **dict.fromkeys("⇒⟹", "=>"),
    **dict.fromkeys("↑⬆▲", "(up)"),
    **dict.fromkeys("↓⬇▼", "(down)"),
    # arithmetic and units
    "×": "x", "÷": "/", "±": "+/-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf", "√": "sqrt",
    "⁄": "/", "∕": "/",
    "°": "deg", "℃": "degC", "℉": "degF", "µ": "u", "μ": "u", "∆": "Δ", "∑": "Σ", "‰": "/1000",
    "¹": "^1", "²": "^2", "³": "^3", "¼": " 1/4", "½": " 1/2", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3",
    # signs and money
    "…": "...", "‥": "..", "№": "No.", "©": "(c)", "®": "(R)", "™": "(TM)", "¢": "c", "₽": "RUB", "₸": "KZT",
    "₴": "UAH",
    "†": "+", "¶": "§", "✓": "[v]", "✔": "[v]", "✗": "[x]", "✘": "[x]", "☐": "[ ]", "☑": "[v]",
    # letters that no decomposition gives
    "ё": "е", "Ё": "Е", "ı": "i", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
    "œ": "oe", "Œ": "OE", "ħ": "h", "Ħ": "H", "ŋ": "ng", "Ŋ": "Ng", "ŧ": "t", "Ŧ": "T", "ĸ": "k", "ẞ": "SS", "ç": "c",
}  # fmt: skip

#: the gateway's translit=1 for small letters; a capital keeps the case of the first letter (smsc-api.md 9.2)
TRANSLIT_1 = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "j",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "h", "ц": "c", "ч": "ch", "ш": "sh", "щ": "sch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya",
}  # fmt: skip
#: the gateway's translit=2, look-alikes; capitals are assumed to look the same (smsc-api.md 9.2)
TRANSLIT_2 = {
    "а": "a", "б": "6", "в": "B", "г": "r", "д": "g", "е": "e", "ё": "e", "ж": ">I<", "з": "3", "и": "u", "й": "u",
    "к": "k", "л": "/I", "м": "M", "н": "H", "о": "o", "п": "n", "р": "p", "с": "c", "т": "m", "у": "y", "ф": "qp",
    "х": "x", "ц": "u", "ч": "4", "ш": "w", "щ": "w", "ъ": "b", "ы": "bI", "ь": "b", "э": "3", "ю": "I-O", "я": "9I",
}  # fmt: skip

#: a code point's replacement is remembered, but a mail of a million different ones shall not fill the memory
_MAX_REMEMBERED = 4096
#: anything but GSM and plain Russian letters, which folding leaves alone
_FOLDABLE = re.compile("[^А-Яа-я" + "".join(re.escape(char) for char in sorted(GSM_CHARS)) + "]")
_MARKS = re.compile("[\u0300-\u036f]")
_MARKS_AFTER_LATIN = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
#: a capital of several letters within a word of capitals
_ALL_CAPITALS = re.compile("[ЖЧШЩЮЯ](?=[А-ЯЁ])|(?<=[А-ЯЁ])[ЖЧШЩЮЯ](?![а-яё])")
_COMPATIBLE = ("<wide>", "<narrow>", "<compat>", "<font>", "<circle>")


class _Table(dict[int, str]):
    """A ``str.translate`` table that asks *rule* about characters it has not met."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, code: int) -> str:
        replacement = self._rule(chr(code))
        if len(self) < _MAX_REMEMBERED:
            self[code] = replacement
        return replacement


def fold(text: str) -> str:
    """Replace typography and foreign accents by what the GSM alphabet has; leave every other character alone.

    Idempotent. Cyrillic stays Cyrillic (but ``ё`` becomes ``е``), emoji stay emoji.
    """
    while _FOLDABLE.search(text):
        folded = _MARKS_AFTER_LATIN.sub("", unicodedata.normalize("NFC", text).translate(_FOLD))
        if folded == text or not _MARKS.search(folded):
            return folded
        # a replacement may have met the mark of the character after it
        text = folded
    return text


def transliterate(text: str) -> str:
    """Write *text* in the GSM alphabet: folded, Cyrillic as the gateway does it, anything else by its sound or name.

    A word in capitals stays in capitals. What nobody knows how to write stays as it is.
    """
    folded = fold(text)
    if is_gsm(folded):
        return folded
    return _ALL_CAPITALS.sub(lambda match: TRANSLIT_1[match[0].lower()].upper(), folded).translate(_LATIN)


def gateway_translit(text: str, mode: int) -> str:
    """Return what the gateway makes of *text* for ``translit`` 1 or 2 (0: the text itself), for counting its parts."""
    if mode == 0:
        return text
    return text.translate(_MODE_1 if mode == 1 else _MODE_2)


def _fold_char(char: str) -> str:
    if is_gsm(char):
        return char
    if char in TYPOGRAPHY:
        return TYPOGRAPHY[char]
    decomposition = unicodedata.decomposition(char)
    if decomposition.startswith(_COMPATIBLE):
        plain = unicodedata.normalize("NFKC", char).translate(_FOLD)
        return plain if is_gsm(plain) else char
    base = unicodedata.normalize("NFD", char)[0]
    return base if base != char and base.isascii() and base.isalpha() else char


def _latin_char(char: str) -> str:
    if is_gsm(char):
        return char
    lower = char.lower()
    if lower in TRANSLIT_1:
        latin = TRANSLIT_1[lower]
        return latin if char == lower else latin.capitalize()
    latin = anyascii(char).replace("`", "'")
    kind = unicodedata.category(char)
    # the library writes some rare letters and the replacement character as "?": only a question mark may become one
    if "?" in latin and kind != "Po":
        return char
    # an unknown character comes back empty, which would lose it; a mark that joins or tones has no sound of its own
    return latin if is_gsm(latin) and (latin or kind in {"Mn", "Me", "Cf"}) else char


def _gateway_table(lower: dict[str, str], *, capitalize: bool) -> dict[int, str]:
    table = {ord(char): latin for char, latin in lower.items()}
    table |= {ord(char.upper()): latin.capitalize() if capitalize else latin for char, latin in lower.items()}
    return table


_FOLD = _Table(_fold_char)
_LATIN = _Table(_latin_char)
_MODE_1 = _gateway_table(TRANSLIT_1, capitalize=True)
_MODE_2 = _gateway_table(TRANSLIT_2, capitalize=False)

"""Characters of a handset: alphabets, parts and the gateway's two ways of transliteration (smsc-api.md section 9).

Written apart from the bridge's own counting on purpose: a mistake in one is then seen by the other.
"""

from __future__ import annotations

#: 3GPP TS 23.038 section 6.2.1, without the escape character
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: section 6.2.1.1: two septets each
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM_ALL = _GSM | _GSM_EXTENSION

GSM = "gsm"
UCS2 = "ucs2"
BINARY = "binary"
#: alphabet -> units in a single part, units in each of several
PART_SIZES: dict[str, tuple[int, int]] = {GSM: (160, 153), UCS2: (70, 67), BINARY: (140, 134)}

#: ``translit=1``; the case of the first letter is kept
_PLAIN: dict[str, str] = {
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "y",
    "к": "k", "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f",
    "х": "h", "ц": "c", "ч": "ch", "ш": "sh", "щ": "sch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "yu", "я": "ya",
}  # fmt: skip
#: ``translit=2``: letters that look alike, the same for both cases
_LOOKS: dict[str, str] = {
    "а": "a", "б": "6", "в": "B", "г": "r", "д": "g", "е": "e", "ё": "e", "ж": ">I<", "з": "3", "и": "u", "й": "u",
    "к": "k", "л": "/I", "м": "M", "н": "H", "о": "o", "п": "n", "р": "p", "с": "c", "т": "m", "у": "y", "ф": "qp",
    "х": "x", "ц": "u", "ч": "4", "ш": "w", "щ": "w", "ъ": "b", "ы": "bI", "ь": "b", "э": "3", "ю": "I-O", "я": "9I",
}  # fmt: skip


def _table(latin: dict[str, str], *, keep_case: bool) -> dict[int, str]:
    """Return a table for ``str.translate``."""
    table: dict[int, str] = {}
    for cyrillic, text in latin.items():
        table[ord(cyrillic)] = text
        table[ord(cyrillic.upper())] = text.capitalize() if keep_case else text
    return table


#: value of ``translit`` -> table
_TABLES = {1: _table(_PLAIN, keep_case=True), 2: _table(_LOOKS, keep_case=False)}


def transliterate(text: str, mode: int) -> str:
    """Return *text* as the gateway writes it for ``translit=mode``; 0 changes nothing."""
    return text.translate(_TABLES[mode]) if mode else text


def alphabet_of(text: str) -> str:
    """Return the alphabet *text* needs."""
    return GSM if _GSM_ALL.issuperset(text) else UCS2


def _width(char: str, alphabet: str) -> int:
    """Return how many units *char* takes."""
    if alphabet == GSM:
        return 2 if char in _GSM_EXTENSION else 1
    return 2 if ord(char) > 0xFFFF else 1


def count_parts(text: str) -> tuple[str, int]:
    """Return the alphabet and the number of parts of *text*, by its length alone."""
    alphabet = alphabet_of(text)
    length = len(text) if alphabet == GSM else len(text.encode("utf-16-le", "surrogatepass")) // 2
    if alphabet == GSM:
        length += sum(map(text.count, _GSM_EXTENSION))
    return alphabet, parts_of_length(length, alphabet)


def parts_of_length(length: int, alphabet: str) -> int:
    """Return how many parts *length* units take."""
    single, several = PART_SIZES[alphabet]
    return 1 if length <= single else -(-length // several)


def cut_to_parts(text: str, max_parts: int) -> str:
    """Return the longest beginning of *text* that fits in *max_parts*."""
    alphabet = alphabet_of(text)
    single, several = PART_SIZES[alphabet]
    room = single if max_parts == 1 else several * max_parts
    used = 0
    for position, char in enumerate(text):
        used += _width(char, alphabet)
        if used > room:
            return text[:position]
    return text

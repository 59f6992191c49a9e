"""Bytes of a mail's text to characters, whatever charset was declared, truly or not.

Used by ``headers`` and ``parse``.
It must not raise for any bytes or any declared name, and must not turn a byte into ``?`` without a note.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

from mailbridge.intake.letters import cyrillic_score, latin_score

#: spellings seen in mails of devices that Python's codec registry does not know, squeezed to ``[a-z0-9]``
_ALIASES = {
    "win1251": "cp1251", "xcp1251": "cp1251", "windowscp1251": "cp1251", "ansi1251": "cp1251", "ansi": "cp1251",
    "mswin1251": "cp1251", "xwindows1251": "cp1251", "windows1251": "cp1251", "cp1251": "cp1251", "1251": "cp1251",
    "windows": "cp1251", "cyrillicwindows": "cp1251", "russian": "cp1251",
    "koi8r": "koi8-r", "koi8": "koi8-r", "xkoi8r": "koi8-r", "koi": "koi8-r", "koi8ru": "koi8-u", "koi8u": "koi8-u",
    "ibm866": "cp866", "dos866": "cp866", "xcp866": "cp866", "dos": "cp866", "oem866": "cp866", "866": "cp866",
    "win1252": "cp1252", "xcp1252": "cp1252", "windows1252": "cp1252", "ansi1252": "cp1252", "iso88591": "cp1252",
    "latin1": "cp1252", "iso88595": "iso8859-5", "xmaccyrillic": "mac-cyrillic", "windows874": "cp874",
    "win1250": "cp1250", "utf8": "utf-8", "utf8mb4": "utf-8", "xutf8": "utf-8", "unicode11utf8": "utf-8",
    "unicode": "utf-16", "utf16": "utf-16", "ucs2": "utf-16", "iso10646ucs2": "utf-16", "unicode11utf7": "utf-7",
    "xunicode20utf7": "utf-7", "utf7": "utf-7", "xgbk": "gb18030", "gb2312": "gb18030", "gbk": "gb18030",
    "xsjis": "cp932", "ascii": "ascii", "usascii": "ascii", "ansix341968": "ascii", "iso646us": "ascii",
    "iso88598i": "iso8859-8", "iso88596i": "iso8859-6",
}  # fmt: skip
#: codecs that turn any bytes into letters, so that a lie about them is seen by the letters only
_CYRILLIC = ("cp1251", "koi8-r", "cp866", "iso8859-5")
_CYRILLIC_DECLARED = frozenset({*_CYRILLIC, "koi8-u", "mac-cyrillic"})
_LATIN = frozenset({"ascii", "cp1252", "iso8859-15"})
#: an average letter of Russian scores about 2, one read with the wrong table below 0.5
_GOOD_SCORE = 1.7
_CLEAR_LEAD = 0.6
#: so few letters prove nothing: the tables of the last century must be clearly better
_FEW_BYTES = 3
_FEW_BYTES_LEAD = 1.0
_SAMPLE_BYTES = 600
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: these write other letters with ASCII bytes
_STATEFUL = frozenset({"utf-7", "iso2022_jp", "iso2022_kr", "hz", "utf-16", "utf-16-le", "utf-16-be"})
_CESU = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
#: the escape by which Japanese mail goes over to its characters (RFC 1468)
_JAPANESE = re.compile(rb"\x1b\$[@B]")
_HIGH_RUN = re.compile(rb"[A-Za-z0-9]?[\x80-\xff]+[A-Za-z0-9]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Text, and how it was read where that was not as declared."""

    text: str
    note: str = ""


@lru_cache(maxsize=256)
def codec_name(declared: str) -> str | None:
    """Return Python's name of the text codec for *declared*, or None where there is none or it is no charset."""
    wanted = declared.strip().strip("\"'").lower()
    squeezed = re.sub(r"[^a-z0-9]", "", wanted)
    if squeezed in _ALIASES:
        return _ALIASES[squeezed]
    if not squeezed or len(wanted) > 40 or not wanted.isascii() or "\0" in wanted:
        return None
    try:
        info = codecs.lookup(wanted)
        # punycode, idna, unicode_escape and the like are text codecs to Python but no charsets of mails
        if not info._is_text_encoding or info.name in _NO_CHARSETS:  # noqa: SLF001 -- the only place Python tells it
            return None
    except (LookupError, ValueError):
        return None
    return _ALIASES.get(re.sub(r"[^a-z0-9]", "", info.name), info.name)


_NO_CHARSETS = frozenset(
    {"punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape", "unicode-escape", "raw-unicode-escape",
     "mbcs", "oem", "palmos"}
)  # fmt: skip


def decode(raw: bytes, declared: str = "") -> Decoded:
    """Decode *raw* as declared where that is believable, else as what it most likely is.

    Order: byte order mark; valid UTF-8 over any one-byte charset; the declared one if its letters make sense; the
    best guess among the Cyrillic tables and Latin; windows-1251 with a note for what it can't read.
    """
    codec = codec_name(declared) if declared else None
    if codec not in _STATEFUL and raw.isascii() and b"\0" not in raw and b"\4" not in raw:
        if b"\x1b$" in raw and _JAPANESE.search(raw) and (text := _strict(raw, "iso2022_jp")) is not None:
            return Decoded(text=text, note=_differs(declared, codec, "iso2022_jp"))
        return Decoded(text=raw.decode("ascii"))
    for mark, name in _BOMS:
        if raw.startswith(mark) and (text := _strict(raw[len(mark) :], name)) is not None:
            return Decoded(text=text)
    if (text := _wide(raw, codec)) is not None:
        return Decoded(text=text)
    if codec in _STATEFUL and codec is not None and not codec.startswith("utf-16"):
        if (text := _strict(raw, codec)) is not None:
            return Decoded(text=text)
        codec = None
    return _decode_bytes(raw, declared, codec)


def _decode_bytes(raw: bytes, declared: str, codec: str | None) -> Decoded:
    one_byte = codec is None or codec in _LATIN or codec in _CYRILLIC_DECLARED or codec.startswith(("iso8859", "cp125"))
    if one_byte and (text := _strict_utf8(raw)) is not None:
        return Decoded(text=text, note=_differs(declared, codec, "utf-8"))
    if codec is not None and codec not in _LATIN and (text := _strict(raw, codec)) is not None:
        if codec not in _CYRILLIC_DECLARED:
            return Decoded(text=text)
        best = _guess(raw, codec)
        if best == codec:
            return Decoded(text=text)
        return _as(raw, best, declared, codec)
    if (text := _strict_utf8(raw)) is not None:
        return Decoded(text=text, note=_differs(declared, codec, "utf-8"))
    return _as(raw, _guess(raw, codec), declared, codec)


def _as(raw: bytes, codec: str, declared: str, declared_codec: str | None) -> Decoded:
    text = _strict(raw, codec)
    if text is not None:
        return Decoded(text=text, note=_differs(declared, declared_codec, codec))
    if (repaired := _cut_utf8(raw, declared_codec)) is not None:
        return Decoded(text=repaired, note="charset: broken utf-8, what could not be read is left out")
    text = raw.decode(codec, "replace")
    return Decoded(text=text, note=f"charset: declared {declared or 'none'}, read as {codec} with losses")


def _cut_utf8(raw: bytes, codec: str | None) -> str | None:
    """Return UTF-8 with a few bytes lost (cut at a limit by its sender), or None where it is something else."""
    text = raw.decode("utf-8", "ignore")
    lost = len(raw) - len(text.encode("utf-8"))
    high = sum(1 for c in text if c > "\x7f")
    if codec == "utf-8" and high == 0:
        return None
    return text if high >= max(1, 8 * lost) else None


def _guess(raw: bytes, declared: str | None) -> str:
    if declared in {None, "utf-8", *_LATIN} and _cut_utf8(raw, declared) is not None:
        # read by _as: its strict decoding as ASCII fails
        return "ascii"
    sample = b" ".join(_HIGH_RUN.findall(raw[: 40 * _SAMPLE_BYTES]))[:_SAMPLE_BYTES]
    if declared in _CYRILLIC_DECLARED and cyrillic_score(sample.decode(declared, "replace")) >= _GOOD_SCORE:
        return str(declared)
    scores = {name: cyrillic_score(sample.decode(name, "replace")) for name in _CYRILLIC}
    latin = "iso8859-15" if declared == "iso8859-15" else "cp1252"
    scores[latin] = latin_score(sample.decode(latin, "replace"))
    high = sum(byte > 0x7F for byte in sample)
    if declared in _LATIN:
        scores[latin] += _CLEAR_LEAD
    if high < _FEW_BYTES:
        scores["cp866"] -= _FEW_BYTES_LEAD
        scores["iso8859-5"] -= _FEW_BYTES_LEAD
    best = max(scores, key=lambda name: scores[name])
    if declared in _CYRILLIC_DECLARED:
        own = scores.get(str(declared), cyrillic_score(sample.decode(str(declared), "replace")))
        # the fewer letters, the clearer their verdict must be
        lead = max(0.25, 1.5 / sqrt(high or 1))
        return best if high > _FEW_BYTES and scores[best] > own + lead else str(declared)
    return best


def _wide(raw: bytes, codec: str | None) -> str | None:
    """Return *raw* read as UTF-16 where its zero bytes or its declaration say so.

    Without a mark, the high byte of each character tells the order: 0x00 for Latin letters, 0x04 for Cyrillic.
    """
    head = raw[:2000]
    even, odd = (head[start::2].count(0) + head[start::2].count(4) for start in (0, 1))
    declared = codec in {"utf-16", "utf-16-le", "utf-16-be"}
    if max(even, odd) * (20 if declared else 2.5) < len(head) or len(raw) < (2 if declared else 4):
        return None
    order = "utf-16-be" if even > odd else "utf-16-le"
    return _strict(raw[: len(raw) // 2 * 2], order)


def _strict(raw: bytes, codec: str) -> str | None:
    try:
        return raw.decode(codec)
    except (UnicodeError, LookupError, ValueError, AssertionError):
        return None


def _strict_utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if _CESU.match(raw, error.start) is not None:
            # an emoji as two surrogates of three bytes each, from Java and old databases
            joined = _CESU.sub(lambda pair: _joined_pair(pair[0]), raw)
            return None if joined == raw else _strict_utf8(joined)
        # a character cut in two at the very end, by a sender that counts bytes
        if error.end == len(raw) and error.start >= len(raw) - 3 and not raw[: error.start].isascii():
            return raw[: error.start].decode("utf-8")
        return None


def _joined_pair(pair: bytes) -> bytes:
    return pair.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16").encode("utf-8")


def _differs(declared: str, declared_codec: str | None, used: str) -> str:
    if not declared:
        # UTF-8 without a word about it is what scripts send; anything else was a guess
        return "" if used == "utf-8" else f"charset: none declared, read as {used}"
    if declared_codec == used:
        return ""
    shown = re.sub(r"[^\w.:+-]", "", declared)[:40]
    return f"charset: declared {shown}, read as {used}"

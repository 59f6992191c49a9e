"""Texts that are not what they seem: a calendar, a page called plain, a line that stands in for a page.

Used by ``parts``; pure. It must not read more of a calendar than its first event says about itself.
"""

from __future__ import annotations

import re

from mailbridge.intake.clean import clean_text

_FOLD = re.compile(r"\r?\n[ \t]")
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})\d{2}(Z?))?")
#: a whole page where a plain text was declared, or nothing was
_PAGE = re.compile(r"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!doctype\s+html|<html[\s>])", re.IGNORECASE)
#: a piece of a page, from its first sign to its last, which scripts send without saying what it is
_PIECE = r"p|div|table|tr|center|h[1-6]|ul|ol|br|b|strong|font|span|body|pre"
_PIECE_BEGINS = re.compile(rf"\s*<(?:{_PIECE})(?:\s[^<>]{{0,500}})?/?>", re.IGNORECASE)
_PIECE_ENDS = re.compile(rf"</(?:{_PIECE})\s?>\s*\Z|<br\s?/?>\s*\Z", re.IGNORECASE)
_ENRICHED = re.compile(r"(?s:<param>.{0,200}?</param>)|</?[a-z-]{1,20}>", re.IGNORECASE)
#: longer texts have something to say of their own
_STOPGAP_CHARS = 300
_STOPGAP = re.compile(
    r"(?i)\bhtml\b.{0,80}\b(?:view|viewer|client|reader|program|support|capable|compatible|enabled?|format|version|only"
    r"|message|mail|поддерж|формат|отображ|просмотр|клиент)|\b(?:view|support|enabled?|read|requires?|поддерж\w*|формат\w*"
    r"|отображ\w*|просмотр\w*|включите|in|is|contains)\b.{0,80}\bhtml\b|\bhtml[ -](?:only|e?-?mail|version)\b"
    r"|(?:view|open|read|see) (?:this |the )?(?:e-?mail|message|newsletter|mail)\b.{0,60}(?:browser|online|web|http)"
    r"|(?:not able|unable|can ?not|can't|trouble|problems?) (?:to )?(?:see|view|read|display|viewing|reading)"
    r"|(?:письмо|сообщение).{0,60}в браузере|если (?:письмо|сообщение|вы не видите|у вас не отображ)"
)
#: signs, pictures and addresses that a program put where the text should be
_NO_WORDS = re.compile(
    r"(?:\[(?:image|cid)[^\]\n]{0,200}\]|<?https?://[^\s<>]{1,2000}>?|[^\w\s]|_|\s)*+", re.IGNORECASE
)


def calendar_text(calendar: str) -> str:
    """Return summary, time and place of the first event of an iCalendar text (RFC 5545 section 3.6.1)."""
    found: dict[str, str] = {}
    inside = False
    for line in _FOLD.sub("", calendar).splitlines()[:2000]:
        name, _, value = line.partition(":")
        key = name.partition(";")[0].upper()
        if key == "BEGIN" and value.upper() == "VEVENT":
            inside = True
        elif key == "END" and value.upper() == "VEVENT":
            break
        elif inside:
            found.setdefault(key, _unescape(value))
    parts = [found.get("SUMMARY", ""), _when(found.get("DTSTART", "")), found.get("LOCATION", "")]
    return "\n".join(part for part in parts if part)


def _unescape(value: str) -> str:
    return re.sub(r"\\([nN,;\\])", lambda m: "\n" if m[1] in "nN" else m[1], value)


def _when(stamp: str) -> str:
    match = _STAMP.match(stamp)
    if match is None:
        return ""
    year, month, day, hour, minute, utc = match.groups()
    date = f"{day}.{month}.{year}"
    return f"{date} {hour}:{minute}{' UTC' if utc else ''}" if hour else date


def enriched_text(text: str) -> str:
    """Return text/enriched without its commands (RFC 1896); ``<<`` is a sign of its own there."""
    return "<".join(_ENRICHED.sub("", piece) for piece in text.split("<<"))


def is_page(text: str) -> bool:
    """Tell whether *text* is an HTML page, or a piece of one and nothing else, whatever it was called."""
    if _PAGE.match(text) is not None:
        return True
    return _PIECE_BEGINS.match(text) is not None and _PIECE_ENDS.search(text.rstrip()[-20:]) is not None


def is_stopgap(text: str) -> bool:
    """Tell whether a plain text says only that there is a page, or has no words at all."""
    if len(text) > 2000:
        return False
    text = clean_text(text).strip()
    if len(text) <= _STOPGAP_CHARS and _STOPGAP.search(text) is not None:
        return True
    return _NO_WORDS.fullmatch(text) is not None

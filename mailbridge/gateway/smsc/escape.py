"""Keep a text a text: the gateway reads commands in some texts, and these are made harmless with one blank each.

Between the composed message and the request. Pure. Must not shorten a text or change a visible character.
Source: smsc-api.md 8.2 (prefixes), 2.2 (comment mark), 2.5 (list records), 1.3 (NUL).
"""

from __future__ import annotations

import re

#: ``__CALL__`` and its like at the very beginning select another service and are removed
_PREFIX = re.compile(r"__\w+?__")
#: a line ``~~~`` ends the text and begins a private comment; also at the ends, where the gateway may add line breaks
_COMMENT_MARK = re.compile(r"(?<![^\r\n])~~~(?=[\r\n]|\Z)")
#: in a ``list`` these would end a record, be read as an escape, or name a sender. A class and nothing
#: else: with blanks at the ends as alternatives, each place of a text would be tried for each of them
_NOT_IN_LIST = re.compile(r"[\\|\r\v\f\x00\x1c-\x1e\x85\u2028\u2029]")


def escape_text(text: str) -> str:
    """Return *text* so that the gateway reads nothing but a text in it.

    A blank goes before a leading service prefix or NUL, and after a comment mark.
    A lone surrogate, which no encoding can carry, becomes U+FFFD.
    """
    text = encodable(text)
    if "~~~" in text and ("\n" in text or "\r" in text):
        text = _COMMENT_MARK.sub("~~~ ", text)
    if text.startswith("\0") or _PREFIX.match(text):
        text = " " + text
    return text


def encodable(text: str) -> str:
    """Return *text* with each lone surrogate, which no encoding can carry, as U+FFFD."""
    if text.isascii() or _is_encodable(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_list_safe(text: str) -> bool:
    """Tell whether *text* can stand in a ``list`` record and arrive as it is.

    Others go out through ``mes``, which has no records: those with a backslash (``\\n`` is a line break there),
    a ``|`` (``sender|phones:text``), a line end of another kind, a blank at an end, which may be trimmed, or anything
    to escape.
    """
    is_whole = bool(text) and text.strip() == text
    return is_whole and _NOT_IN_LIST.search(text) is None and escape_text(text) == text


def list_text(text: str) -> str:
    """Return a list-safe *text* as it stands in a record: a line break is the two characters ``\\n``."""
    return text.replace("\n", "\\n")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

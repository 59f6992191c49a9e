"""What the styles and classes of an HTML element hide from a reader.

Used by ``html``; pure. It must not apply style sheets: only what the element says of itself counts.
"""

from __future__ import annotations

import re

from mailbridge.intake.markup import Tag

_HIDDEN_STYLE = re.compile(
    r"display:none|visibility:hidden|(?<![-\w])opacity:0(?:\.0+)?(?![\d.])|max-height:0(?:px|pt|em|%)?(?![\d.])"
    r"|(?<!-)\bmso-hide:all|(?<![-\w])(?:left|top|text-indent):-\d{4,}px"
)
#: a box without size shows what flows over, unless that is cut off
_NO_BOX = re.compile(r"(?<![-\w])(?:height|width|max-width):0(?:px|pt|em|%)?(?![\d.])")
_NO_FONT = re.compile(r"font-size:0(?:\.0+)?(?:px|pt|em|rem|%)?(?![\d.])")
_FONT = re.compile(r"(?:^|;)font(?:-size)?:")
#: the line mail clients show beside the subject, and signatures marked as such
_HIDDEN_CLASS = re.compile(r"\bpre-?header\b|\bgmail_signature\b|\bmoz-signature\b", re.IGNORECASE)


def is_hidden(tag: Tag, style: str) -> bool:
    """Tell whether nobody sees the element; *style* is its style in lower case without blanks."""
    attributes = tag.attributes
    if "hidden" in attributes or _HIDDEN_CLASS.search(attributes.get("class", "")):
        return True
    if not style:
        return False
    found = _HIDDEN_STYLE.search(style)
    if found is None:
        return "overflow:hidden" in style and _NO_BOX.search(style) is not None
    # a button that only Outlook hides is there for everybody else
    return not (found[0] == "mso-hide:all" and tag.name == "a")


def is_unsized(style: str, *, inherited: bool) -> bool:
    """Tell whether the element's own text has no size; *inherited* says so of the element around it."""
    return bool(_NO_FONT.search(style)) or (inherited and not _FONT.search(style))

"""A phone number inside the bridge is always E.164 with its plus."""

from __future__ import annotations

import re
from typing import NewType

#: E.164 with ``+``, digits only after it (ITU-T E.164: at most 15 digits)
Phone = NewType("Phone", str)

_DIGIT = re.compile(r"\d")
_NOT_DIGITS = re.compile(r"[^0-9]+")
#: digits that a masked number keeps
_SHOWN = 4


def mask_phone(phone: str) -> str:
    """Return *phone* with all but its last four digits as ``*``, for logs: ``+79991234567`` -> ``+*******4567``."""
    return _DIGIT.sub("*", phone[:-_SHOWN]) + phone[-_SHOWN:]


def digits_of(phone: str) -> str:
    """Return the digits alone, as the gateway's answers and callbacks carry them."""
    return _NOT_DIGITS.sub("", phone)

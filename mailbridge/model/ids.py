"""Ids of mails and messages: short, sayable over a telephone, never repeated.

A mail id has ten characters of Crockford-like base 32 without look-alikes (no 0 O 1 I L U), upper case.
A message id is ``<mail id>.<n>``, n from 1 in the order of the recipients.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from secrets import randbits

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 10
_MAIL_ID = re.compile(f"[{ALPHABET}]{{{_LENGTH}}}")
_MESSAGE_ID = re.compile(f"[{ALPHABET}]{{{_LENGTH}}}\\.[1-9][0-9]{{0,5}}")


def new_mail_id(random_bits: Callable[[int], int] = randbits) -> str:
    """Return a new mail id: 49 random bits, so a clash within a million mails has a chance of 1 in 1,000."""
    number, out = random_bits(64), []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        out.append(ALPHABET[digit])
    return "".join(out)


def message_id(mail_id: str, number: int) -> str:
    """Return the id of a mail's *number*-th message, counted from 1."""
    return f"{mail_id}.{number}"


def as_written(text: str) -> str:
    """Return an id that a person typed as we write it: they may do without the shift key."""
    return text.strip().upper()


def is_mail_id(text: str) -> bool:
    """Tell whether *text* has the shape of a mail id."""
    return _MAIL_ID.fullmatch(text) is not None


def is_message_id(text: str) -> bool:
    """Tell whether *text* has the shape of a message id."""
    return _MESSAGE_ID.fullmatch(text) is not None

"""Ids of mails and messages: short, sayable over a telephone, never repeated.

A mail id has ten characters of Crockford-like base 32 without look-alikes (no 0 O 1 I L U), upper case.
A message id is ``<mail id>.<n>``, n from 1 in the order of the recipients.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import getrandbits

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 10
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_TICKS_PER_S = 16
_TICKS, _CHANCES = len(ALPHABET) ** 4, len(ALPHABET) ** 6
_MAIL_ID = re.compile(f"[{ALPHABET}]{{{_LENGTH}}}")
_MESSAGE_ID = re.compile(f"[{ALPHABET}]{{{_LENGTH}}}\\.[1-9][0-9]{{0,5}}")


def new_mail_id(at_s: float, random_bits: Callable[[int], int] = getrandbits) -> str:
    """Return a new mail id for the moment *at_s* (Unix time): four characters of time and six of chance.

    Mails that come in together stand together in every index of ids, so a commit writes a few pages and not several
    for each mail. The time counts sixteenths of a second and comes round in 14 hours; a clash within a million mails
    has a chance of about 1 in 1,000, ten times that where all came within an hour.
    """
    number = int(at_s * _TICKS_PER_S) % _TICKS * _CHANCES + random_bits(64) % _CHANCES
    out = []
    for _ in range(_LENGTH // 2):
        number, pair = divmod(number, len(_PAIRS))
        out.append(_PAIRS[pair])
    return "".join(reversed(out))


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

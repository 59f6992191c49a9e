"""What an SMS says: whether it is an answer to an alert, and to which. Pure, for the texts of strangers."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: with Cyrillic letters that look alike, a nought for the letter, and what people write instead
_WORDS = r"ok|okay|ок|окей|0k|0к|oк|оk|ack|принял|приняла|принято|беру"
_ANSWER = re.compile(rf"\W*(?:({_WORDS})(?:\W+|(?=\d)|$))?\W*([0-9]{{3,6}}(?![0-9]))?", re.IGNORECASE)
#: a text is read up to here
_MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to an alert; *number* is None where it names none."""

    number: str | None


def parse_answer(text: str) -> Answer | None:
    """Read ``OK 1234``, ``ok1234``, ``1234`` or ``OK``; None where *text* is no answer.

    What follows may be anything. A number alone is one only where nothing follows it.
    """
    match = _ANSWER.match(text[:_MAX_CHARS])
    if match is None:
        return None
    word, number = match[1], match[2]
    rest = text[match.end() :].strip()
    if word is None and (number is None or rest.strip(".!,")):
        return None
    if number is None and any(character.isdigit() for character in rest):
        # it names something else: better asked again than taken for another
        return None
    return Answer(number)

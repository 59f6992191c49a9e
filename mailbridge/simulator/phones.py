"""Numbers as the gateway reads them (smsc-api.md sections 2.2 and 9.4), and what it knows about their operators."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[,;]")
_ORNAMENT = str.maketrans("", "", " \t\r\n()-.\u00a0")
_MIN_DIGITS = 9
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Number:
    """One entry of ``phones``: the digits the gateway made of it, and whether they can be a number."""

    digits: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who a number belongs to."""

    country: str
    name: str
    region: str
    mcc: str
    mnc: str

    @property
    def mccmnc(self) -> str:
        """Country and network code, as answers carry them."""
        return self.mcc + self.mnc


#: prefix -> operator, the longest prefix wins; invented but for the country codes
_OPERATORS: dict[str, Operator] = {
    "7": Operator(country="Россия", name="МТС", region="Москва", mcc="250", mnc="01"),
    "76": Operator(country="Казахстан", name="Beeline", region="", mcc="401", mnc="01"),
    "77": Operator(country="Казахстан", name="Beeline", region="", mcc="401", mnc="01"),
    "375": Operator(country="Беларусь", name="A1", region="", mcc="257", mnc="01"),
    "380": Operator(country="Украина", name="Vodafone", region="", mcc="255", mnc="01"),
    "84": Operator(country="Вьетнам", name="Viettel", region="", mcc="452", mnc="04"),
}
UNKNOWN_OPERATOR = Operator(country="", name="", region="", mcc="", mnc="")


def parse_number(text: str) -> Number:
    """Return *text* as a number: with ``+`` as it is, without it corrected (8… and ten digits become Russian)."""
    bare = text.strip().translate(_ORNAMENT)
    exact = bare.startswith("+")
    digits = bare[1:] if exact else bare
    if not (digits.isascii() and digits.isdigit()):
        return Number(digits=bare, good=False)
    if not exact and len(digits) == 11 and digits.startswith("8"):
        digits = "7" + digits[1:]
    elif not exact and len(digits) == 10 and digits.startswith("9"):
        digits = "7" + digits
    good = _MIN_DIGITS <= len(digits) <= _MAX_DIGITS and not digits.startswith("0")
    if good and digits.startswith("7"):
        good = len(digits) == 11
    return Number(digits=digits, good=good)


def parse_numbers(text: str) -> tuple[Number, ...]:
    """Return the numbers of a list, in order, none twice."""
    found = {
        number.digits: number for piece in _SEPARATORS.split(text) if piece.strip() for number in [parse_number(piece)]
    }
    return tuple(found.values())


def operator_of(digits: str) -> Operator:
    """Return who *digits* belong to."""
    for length in (3, 2, 1):
        if (operator := _OPERATORS.get(digits[:length])) is not None:
            return operator
    return UNKNOWN_OPERATOR

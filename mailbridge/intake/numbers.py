"""Reading phone numbers as people write them, and deciding which may be sent to.

Used by ``address.py`` at RCPT TO. Pure, apart from a bounded memory of numbers read before. Must not look a number up
anywhere: whether somebody answers it is the gateway's to say.

A number is refused when no numbering plan has numbers of that length (``is_possible_number``), not when the library's
tables don't know its range: ranges are opened faster than libraries are updated.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from mailbridge.config.model import Numbers
from mailbridge.errors import Rejected
from mailbridge.model.phone import Phone
from mailbridge.model.reply import COUNTRY_NOT_ALLOWED, IMPOSSIBLE_NUMBER, Reply

#: what a number may be written with; anything else is not a number (ASCII only: ``int('٧')`` would work, too)
_LOOKS_LIKE_PHONE = re.compile(r"\+?[0-9().\- ]{1,40}")
_NOT_DIGITS = re.compile(r"[^0-9]")
_PREFIX = re.compile(r"\+?[1-9][0-9]{0,14}")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_INTERNATIONAL_PREFIX = "00"
#: kinds of numbers whose lengths count; both, because many plans do not tell them apart
_KINDS = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
#: kinds whose owner may earn by being written to; no phone that alerts go to is one
_COSTLY = frozenset({PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.PERSONAL_NUMBER})
#: a prefix longer than a country code names a range on purpose, premium ones included
_COUNTRY_CODE_DIGITS = 3
_REMEMBERED = 2_048
#: allowed, in use, not a fixed line
_BEST = (True, True, True)


def looks_like_phone(text: str) -> bool:
    """Tell whether *text* is written with the characters of a phone number and has a digit."""
    return _LOOKS_LIKE_PHONE.fullmatch(text) is not None and any(c.isdigit() for c in text)


class NumberPolicy:
    """Which numbers are understood and allowed, from the ``numbers`` section.

    Raises: ValueError for a region that is no country, or an ``allow`` entry that is neither prefix nor country.
    """

    def __init__(self, settings: Numbers) -> None:
        self._region = settings.region.upper()
        if self._region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"not a country: {settings.region}; write two letters such as RU")
        prefixes, countries = [], []
        for entry in settings.allow if settings.allow is not None else [self._region]:
            if _PREFIX.fullmatch(entry):
                prefixes.append("+" + entry.lstrip("+"))
            elif _COUNTRY.fullmatch(entry) and entry.upper() in phonenumbers.SUPPORTED_REGIONS:
                countries.append(entry.upper())
            else:
                raise ValueError(f"neither a prefix nor a country: {entry}; write +7 or RU")
        self._prefixes, self._countries = tuple(prefixes), frozenset(countries)
        self._decide = lru_cache(maxsize=_REMEMBERED)(self._decide_anew)

    def read(self, text: str) -> Phone:
        """Read a number as a person writes it.

        Raises: Rejected: IMPOSSIBLE_NUMBER, or COUNTRY_NOT_ALLOWED (also for satellite and premium-rate numbers,
        which belong to no allowed country unless a prefix names them).
        """
        decision = self._decide(text)
        if isinstance(decision, Reply):
            raise Rejected(decision)
        return decision

    def _decide_anew(self, text: str) -> Phone | Reply:
        if not looks_like_phone(text):
            return IMPOSSIBLE_NUMBER
        number = _possible(text, None) if text.startswith("+") else self._best_reading(text)
        if number is None:
            return IMPOSSIBLE_NUMBER
        return Phone(_e164(number)) if self._is_allowed(number) else COUNTRY_NOT_ALLOWED

    def _best_reading(self, text: str) -> PhoneNumber | None:
        """Read a number without a plus, as a national or as an international one; None where both are impossible.

        The better reading is one that is allowed, then one in use, then one that is not a fixed line, then the national
        one. So ``375291234567`` is Belarus even in Russia; ``84912345678`` is Ryazan, unless +84 is allowed as well:
        then it is a mobile in Viet Nam.
        """
        national = _possible(text, self._region)
        if national is not None and self._merit(national) == _BEST:
            return national
        digits = _NOT_DIGITS.sub("", text).removeprefix(_INTERNATIONAL_PREFIX)
        abroad = _possible("+" + digits, None)
        if abroad is not None and not phonenumbers.is_valid_number(abroad):
            abroad = None
        # max keeps the first of equals
        return max((number for number in (national, abroad) if number is not None), key=self._merit, default=None)

    def _merit(self, number: PhoneNumber) -> tuple[bool, bool, bool]:
        kind = phonenumbers.number_type(number)
        return self._is_allowed(number), kind != PhoneNumberType.UNKNOWN, kind != PhoneNumberType.FIXED_LINE

    def _is_allowed(self, number: PhoneNumber) -> bool:
        phone = _e164(number)
        prefix = max((p for p in self._prefixes if phone.startswith(p)), key=len, default="")
        if len(prefix) > _COUNTRY_CODE_DIGITS + 1:
            return True
        if not prefix and _country_of(number) not in self._countries:
            return False
        return phonenumbers.number_type(number) not in _COSTLY


def _e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _possible(text: str, region: str | None) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    possible = any(
        phonenumbers.is_possible_number_for_type_with_reason(number, kind) == ValidationResult.IS_POSSIBLE
        for kind in _KINDS
    )
    return number if possible else None


def _country_of(number: PhoneNumber) -> str | None:
    """Return the number's country; for a range the library does not know, the first country of its code.

    +7 is shared: the library tells Russia and Kazakhstan apart by the digits after it, so does this for unknown ranges.
    """
    known = phonenumbers.region_code_for_number(number)
    if known is not None:
        return known
    if number.country_code == 7 and phonenumbers.national_significant_number(number)[:1] in {"6", "7"}:
        return "KZ"
    return phonenumbers.region_code_for_country_code(number.country_code or 0)

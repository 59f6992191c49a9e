"""What the sections of the configuration are made of: kinds of values, and the frozen mapping they share.

Part of ``model.py``; it must not read files or the environment.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    model_validator,
)

from mailbridge.config.units import parse_duration, parse_size
from mailbridge.model.limits import parse_rate


def split_words(value: object) -> object:
    """Let a list of words be written as one text, with commas between them."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def upper(value: object) -> object:
    """Write words in capitals, as they are compared."""
    if isinstance(value, str):
        return value.upper()
    if isinstance(value, list):
        return [upper(item) for item in value]
    return value


def off(value: object) -> object:
    """Let `off` stand for none."""
    return None if value == "off" else value


def lower_keys(value: object) -> object:
    """Write domains in lower case, as they are compared. Two spellings of one domain are found by ``check.py``."""
    if isinstance(value, dict):
        return {str(key).lower(): item for key, item in value.items()}
    return value


def _one_or_list(value: object) -> object:
    """Let a list be written as one item; commas belong to it, for it may be a pattern."""
    return [value] if isinstance(value, str) else value


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Words = Annotated[list[str], BeforeValidator(split_words)]
Patterns = Annotated[list[str], BeforeValidator(_one_or_list)]
#: a URL that may hold a password: never shown, may be given as ``x_file``
SECRET_URL: dict[str, JsonValue] = {"secret_url": True}

DAY = 86400.0
_MONEY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,4})?")
_PERCENT = re.compile(r"([1-9][0-9]?|100)%")


def _check_rates(words: list[str]) -> list[str]:
    for word in words:
        parse_rate(word)
    return words


def _check_money(text: str | None) -> str | None:
    if text is not None and not _MONEY.fullmatch(text):
        raise ValueError("not an amount of money; write one such as 2000 or 99.50")
    return text


def _check_percent(text: str) -> str:
    if not _PERCENT.fullmatch(text):
        raise ValueError("not a share; write one from 1% to 100%")
    return text


def _check_zone(text: str) -> str:
    try:
        if text:
            ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone known here; write one such as Europe/Moscow") from None
    return text


Rates = Annotated[Words, AfterValidator(_check_rates)]
Money = Annotated[str, AfterValidator(_check_money)]
Percent = Annotated[str, AfterValidator(_check_percent)]
Zone = Annotated[str, AfterValidator(_check_zone)]


class Section(BaseModel):
    """A mapping of the configuration: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    #: the key whose list of words may stand in place of the whole section
    shorthand: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _write_out(cls, data: Any) -> Any:
        return {cls.shorthand: data} if cls.shorthand and isinstance(data, str | list) else data

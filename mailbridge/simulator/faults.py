"""Faults of the whole account, set through ``/control/faults``: what a rehearsal needs that no number can say. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from mailbridge.errors import MailbridgeError
from mailbridge.simulator.magic import WIRE

METHODS = frozenset({
    "send", "status", "balance", "get", "info", "phones", "jobs", "templates", "op_templates", "senders", "users",
    "documents", "ping", "tinyurls", "receive_phones", "wait_call", "get_mnp",
})  # fmt: skip
_WIRE_NAMES = frozenset(name for name, _ in WIRE.values())
_KEYS = frozenset(
    {"code", "text", "wire", "stage", "delay_s", "times", "skip", "probability", "methods", "login", "balance"}
)


class BadFault(MailbridgeError):
    """That is not a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule: which requests it hits, how often, and what it does to them."""

    #: error code to answer instead
    code: int | None = None
    text: str | None = None
    #: name of a fault of ``magic.WIRE``
    wire: str | None = None
    #: whether the request is processed before the wire fails
    accepted: bool = False
    delay_s: float = 0.0
    #: so many matching requests are left alone first
    skip: int = 0
    #: None: until cleared
    times: int | None = None
    probability: float = 1.0
    #: None: every method
    methods: frozenset[str] | None = None
    #: None: every account
    login: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return the rule as ``GET /control/faults`` shows it."""
        return {
            "code": self.code,
            "text": self.text,
            "wire": self.wire,
            "stage": "after" if self.accepted else "before",
            "delay_s": self.delay_s,
            "skip": self.skip,
            "times": self.times,
            "probability": self.probability,
            "methods": sorted(self.methods) if self.methods is not None else None,
            "login": self.login,
        }


def parse_fault(data: Mapping[str, Any]) -> Fault:
    """Return the rule a JSON object describes.

    Raises: BadFault, whose text says what is wrong.
    """
    if unknown := sorted(data.keys() - _KEYS):
        raise BadFault(f"unknown keys: {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    wire, stage = data.get("wire"), data.get("stage", "before")
    if wire is not None and wire not in _WIRE_NAMES:
        raise BadFault(f"wire must be one of {', '.join(sorted(_WIRE_NAMES))}")
    if stage not in {"before", "after"}:
        raise BadFault("stage must be before or after (the request is processed)")
    text, login = data.get("text"), data.get("login")
    if not isinstance(text, str | None) or not isinstance(login, str | None):
        raise BadFault("text and login must be strings")
    return Fault(
        code=_whole(data, "code", 1, 999),
        text=text,
        wire=wire,
        accepted=stage == "after",
        delay_s=_number(data, "delay_s", 0.0, 3600.0, 0.0),
        skip=_whole(data, "skip", 0, 1_000_000) or 0,
        times=_whole(data, "times", 1, 1_000_000),
        probability=_number(data, "probability", 0.0, 1.0, 1.0),
        methods=_methods(data.get("methods")),
        login=login,
    )


def parse_balance(value: object) -> Decimal:
    """Return money from JSON.

    Raises: BadFault.
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation as problem:
        raise BadFault("balance must be an amount of money") from problem
    if not amount.is_finite() or abs(amount) > 10**12:
        raise BadFault("balance must be an amount of money")
    return amount


def _whole(data: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """Return a whole number of *data*, None where there is none."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadFault(f"{name} must be a whole number from {low} to {high}")
    return value


def _number(data: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    """Return a number of *data*."""
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadFault(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)


def _methods(value: object) -> frozenset[str] | None:
    """Return the methods a rule is for."""
    if value is None:
        return None
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        raise BadFault("methods must be a list of names")
    if unknown := sorted(set(names) - METHODS):
        raise BadFault(f"unknown methods: {', '.join(unknown)}; known are {', '.join(sorted(METHODS))}")
    return frozenset(names)


class Faults:
    """The rules in force, in the order they were set; the first that hits a request decides."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._rules: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Put a rule behind the others."""
        self._rules.append((fault, 0))

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with how many requests each has matched."""
        return [fault.describe() | {"matched": matched} for fault, matched in self._rules]

    def pick(self, method: str, login: str) -> Fault | None:
        """Return the rule that hits this request, and count it; used-up rules go."""
        for position, (fault, matched_before) in enumerate(self._rules):
            if (fault.methods is not None and method not in fault.methods) or fault.login not in {None, login}:
                continue
            # nothing is drawn where there is no choice: a rule for sure does not disturb a seeded run
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            matched = matched_before + 1
            self._rules[position] = (fault, matched)
            if matched <= fault.skip:
                continue
            if fault.times is not None and matched >= fault.skip + fault.times:
                del self._rules[position]
            return fault
        return None

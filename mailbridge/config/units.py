"""Durations and sizes as people write them: ``300ms 10s 5m 4h 2d``, ``512KB 10MB``; pure, no clock."""

from __future__ import annotations

import re

# Digits are bounded: a longer number would overflow, and nobody means it.
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d|w)")
_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(B|KB|MB|GB|KIB|MIB|GIB)?", re.IGNORECASE)
_SIZE_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_duration(value: object) -> float:
    """Read ``1h30m``, ``300ms`` or ``0`` as seconds. A number (from Python, not from a file) is taken as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if text == "0":
        return 0.0
    pieces = _DURATION.findall(text)
    if not pieces or _DURATION.sub("", text).strip():
        raise ValueError("not a duration; write a number with a unit, such as 300ms, 10s, 5m, 4h or 2d")
    return sum(float(number) * _DURATION_S[unit] for number, unit in pieces)


def parse_size(value: object) -> int:
    """Read ``512KB``, ``10MB`` or ``1000000`` as bytes (KB is 1000, KiB is 1024)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("not a size; write a number with a unit, such as 512KB or 10MB")
    return int(float(match[1]) * _SIZE_BYTES[(match[2] or "B").upper()])


def format_duration(seconds: float) -> str:
    """Write *seconds* in the largest unit that divides them: ``90.0`` -> ``90s``, ``86400.0`` -> ``24h``."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0"
    # A day is written as 24h and the half week as 84h: days are for what is a whole number of them, from two up.
    for unit, length_ms, least in (("d", 86_400_000, 2), ("h", 3_600_000, 1), ("m", 60_000, 1), ("s", 1000, 1)):
        count, rest = divmod(milliseconds, length_ms)
        if rest == 0 and count >= least:
            return f"{count}{unit}"
    return f"{milliseconds}ms"


def format_size(size_bytes: int) -> str:
    """Write *size_bytes* in the largest unit that divides them: ``10000000`` -> ``10MB``."""
    for unit in ("GB", "GIB", "MB", "MIB", "KB", "KIB"):
        count, rest = divmod(size_bytes, _SIZE_BYTES[unit])
        if rest == 0 and count:
            return f"{count}{unit.replace('I', 'i')}"
    return f"{size_bytes}B"

"""Durations and sizes as people write them: ``300ms 10s 5m 4h 2d``, ``512KB 10MB``."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KIB|MIB|GIB)?", re.IGNORECASE)
_SIZE_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_duration(value: object) -> float:
    """Read ``1h30m``, ``300ms`` or ``0`` as seconds. A number (from Python, not from a file) is taken as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if text == "0":
        return 0.0
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text.replace(" ", ""):
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

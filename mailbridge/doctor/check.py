"""What a check of ``doctor`` gives; a value."""

from __future__ import annotations

from dataclasses import dataclass

#: one step of a check: a name, a connection, an answer
STEP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found of one thing; *fix* says what to do, empty where it is well."""

    name: str
    ok: bool
    detail: str
    fix: str = ""

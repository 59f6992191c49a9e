"""What is wrong in a configuration: place, what, and what to write instead (``check-config``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. *line* is 1-based; 0 where no line can be named (environment, missing file)."""

    file: str
    line: int
    #: dotted path of the key: ``smtp.listen[0].address``; empty where it is about the file as a whole
    path: str
    problem: str
    #: what to write instead; may be empty
    instead: str = ""

    def __str__(self) -> str:
        tail = f"; {self.instead}" if self.instead else ""
        path = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {path}{self.problem}{tail}"

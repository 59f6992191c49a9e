"""What was asked and answered, newest last, without credentials."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SHOWN_BYTES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request and its answer."""

    #: Unix time
    at: float
    http_method: str
    #: without the query
    path: str
    login: str
    #: where credentials stood: none, query or body
    credentials_in: str
    #: all parameters but the credentials
    params: Mapping[str, str]
    #: None: the fault left nothing of it
    answer: bytes | None
    code: int
    #: the fault that was performed instead of a plain answer
    fault: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the entry as ``/requests.json`` shows it."""
        shown = None if self.answer is None else self.answer[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
        return {
            "at": self.at,
            "http_method": self.http_method,
            "path": self.path,
            "login": self.login,
            "credentials_in": self.credentials_in,
            "params": dict(self.params),
            "answer": shown,
            "code": self.code,
            "fault": self.fault,
        }


class Ledger:
    """The newest *keep* requests."""

    def __init__(self, keep: int) -> None:
        self.entries: deque[Entry] = deque(maxlen=keep)

    def add(self, entry: Entry) -> None:
        """Write *entry* down."""
        self.entries.append(entry)

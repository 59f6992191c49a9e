"""What the door refused lately, with the line of the configuration that would allow it; for the desk.

In memory: the log has it all. Like refusals are counted as one, so that a scanner does not hide everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mailbridge.model import reply as replies

#: kinds of refusal that are remembered
_MOST = 200
_IN_BRACKETS = re.compile(r"<([^<>]*)>")
_PHONE = re.compile(r"\+?([0-9]{5,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One kind of refusal: how often, and when last."""

    at: datetime
    stage: str
    client: str
    reply: str
    #: the address it was about; empty where it was about none
    about: str
    count: int = 1


class Refusals:
    """Remembers the newest kinds."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._known: dict[tuple[str, str, str, str], Refusal] = {}

    def note(self, event: str, fields: dict[str, Any]) -> None:
        """Hear a line of the door's log."""
        if event not in {"rejected", "banned"}:
            return
        stage = str(fields.get("stage", "auth"))
        said = str(fields.get("reply", replies.AUTH_BANNED if event == "banned" else ""))[:200]
        about = str(fields.get("recipient") or fields.get("sender") or "")
        about = (_IN_BRACKETS.search(about) or [about, about])[1][:320]
        key = (stage, str(fields.get("client", "")), said, about)
        before = self._known.pop(key, None)
        now = self._now()
        self._known[key] = (
            replace(before, at=now, count=before.count + 1)
            if before is not None
            else Refusal(at=now, stage=stage, client=key[1], reply=said, about=about)
        )
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def newest(self) -> list[Refusal]:
        """Return what is remembered, newest first."""
        return list(reversed(self._known.values()))


class Overheard:
    """A log that is written to as ever, and tells *hear* what is written."""

    def __init__(self, log: Any, hear: Callable[[str, dict[str, Any]], None]) -> None:
        self._log = log
        self._hear = hear

    def __getattr__(self, name: str) -> Any:
        write = getattr(self._log, name)
        if name not in {"info", "warning"}:
            return write

        def writing(event: str, **fields: Any) -> Any:
            self._hear(event, fields)
            return write(event, **fields)

        return writing


def line_to_allow(refusal: Refusal) -> str:
    """Return what to paste into the configuration so that this is taken; empty where no line would help."""
    said = refusal.reply
    if said == str(replies.CLIENT_NOT_ALLOWED) and refusal.client:
        return f'smtp: {{listen: [{{allow: ["{refusal.client}"]}}]}}   # add it to those of the listener'
    local, _, domain = refusal.about.rpartition("@")
    if said == str(replies.UNKNOWN_DOMAIN) and re.fullmatch(r"[A-Za-z0-9.-]{1,255}", domain):
        return f"smtp: {{domains: {{{domain.lower()}: sms}}}}   # add it to those that are there"
    if said == str(replies.COUNTRY_NOT_ALLOWED) and (phone := _PHONE.match(local.strip('"'))):
        return f'numbers: {{allow: ["+{phone[1]}"]}}   # or the country\'s prefix, beside those that are there'
    if said == str(replies.NOT_A_PHONE) and re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,63}", local):
        return f'aliases: {{{local.lower()}: ["+79991234567"]}}'
    return ""

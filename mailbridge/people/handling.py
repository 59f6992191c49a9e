"""What quiet hours and digests make of one message: whether it may have to wait, with whom and how long.

Pure: told the time and what was decided about the mail. Whether the message does wait is for the store to say, which
knows what came before (``queue/gathering.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from mailbridge.config.check_people import CATCH_ALL, bare_number
from mailbridge.config.model import Config
from mailbridge.config.model_people import Digest as DigestSettings
from mailbridge.config.model_people import Digests
from mailbridge.model.alert import Decision, Digest
from mailbridge.model.mail import Recipient
from mailbridge.model.message import Message
from mailbridge.people.quiet import build_quiet, quiet_until
from mailbridge.queue.kept import Gather

#: between the pieces of a gathering's key; no phone or name has it
_JOINT = "\n"
_MAX_SUBJECT_CHARS = 200


class Handling:
    """The quiet hours and digests of one configuration."""

    def __init__(self, config: Config) -> None:
        self._quiet = {name: build_quiet(name, settings) for name, settings in config.quiet_hours.items()}
        self._of_phone = {bare_number(one.phone): tuple(one.quiet) for one in config.people.values() if one.quiet}
        self._of_alias = {name.lower(): tuple(one.quiet) for name, one in config.aliases.items() if one.quiet}
        self._aliases = {name.lower() for name in (*config.aliases, *config.people)}
        #: what applies where no rule matched
        self.default = build_digest(config.digest)
        self._hold_recovery_s = config.digest.hold_recovery
        self._is_asked_by_rules = any(rule.digest is not None or rule.action == "digest" for rule in config.rules)

    def __bool__(self) -> bool:
        """True where anything may have to wait."""
        return bool(self._quiet) or self.default is not None or self._is_asked_by_rules

    def digest_of(self, settings: DigestSettings | None) -> Digest:
        """Return how a rule gathers that says so: by *settings* of its own, or as by default."""
        if settings is None and self.default is not None:
            return self.default
        return _digest(settings or DigestSettings(), self._hold_recovery_s)

    def gather(self, decision: Decision, recipient: Recipient, message: Message, now: datetime) -> Gather | None:
        """Return what *message* may have to wait for; None: it goes out by itself.

        What asks for a time of its own (``X-SMS-Time``) waits for nobody: the gateway keeps it until then.
        """
        if message.time:
            return None
        alert, severity = decision.alert, decision.alert.severity.lower()
        # what nobody understood is the same again where it reads the same
        alert = replace(
            alert, severity=severity, subject=alert.subject[:_MAX_SUBJECT_CHARS] or _digest_of(message.text),
            short=alert.short or message.text.partition("\n")[0],
        )  # fmt: skip
        names = self._names(decision, recipient)
        hours = [self._quiet[name] for name in names if severity not in self._quiet[name].passes]
        if (until := quiet_until(hours, now)) is not None:
            return Gather(
                key=_JOINT.join((message.phone, message.channel, "quiet")), rule=decision.rule, quiet_until=until,
                quiet=tuple(one.name for one in hours), alert=alert,
            )  # fmt: skip
        digest = decision.digest if decision.rule is not None else decision.digest or self.default
        if digest is None:
            return None
        return Gather(
            key=_JOINT.join((message.phone, message.channel, "digest", decision.rule or "")), rule=decision.rule,
            digest=digest, alert=alert, passes=severity in digest.passes,
        )  # fmt: skip

    def still_quiet(self, names: Sequence[str], at: datetime) -> datetime | None:
        """Return until when the quiet hours called *names* hold at *at*; None where they do not, or are no more."""
        return quiet_until([self._quiet[name] for name in names if name in self._quiet], at)

    def _names(self, decision: Decision, recipient: Recipient) -> Iterable[str]:
        alias = recipient.alias if recipient.alias in self._aliases or not recipient.alias else CATCH_ALL
        found = (*decision.quiet, *self._of_phone.get(recipient.phone, ()), *self._of_alias.get(alias, ()))
        return [name for name in dict.fromkeys(found) if name in self._quiet]


def build_digest(settings: Digests) -> Digest | None:
    """Return the default digest that *settings* describe, None where they describe none."""
    return None if settings.default is None else _digest(settings.default, settings.hold_recovery)


def _digest(settings: DigestSettings, hold_recovery_s: float) -> Digest:
    return Digest(
        window_s=settings.window,
        longest_s=max(settings.longest, settings.window),
        repeat_s=settings.repeat,
        hold_recovery_s=hold_recovery_s,
        passes=frozenset(word.lower() for word in settings.pass_),
    )


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""The ordered list of rules as one pure decision: a mail to one recipient and the time in, what is done with it out.

Between the device profiles and composing. It must not wait, ask a clock, or know who a name in ``to`` stands for.
``Rules.trace`` says in words how the same decision came about; there is one loop for both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum
from functools import cached_property
from zoneinfo import ZoneInfo

from mailbridge.config.model_people import Digest
from mailbridge.config.model_rules import Match, Rule, RuleSettings
from mailbridge.config.times import is_within, parse_days, parse_span
from mailbridge.intake.options import NOTHING, Options, parse_sender, parse_time, parse_valid
from mailbridge.model.mail import Client, Mail, Recipient
from mailbridge.model.reading import UNREAD, Reading
from mailbridge.rules.patterns import Value, compile_tests, fits_any

#: a text is matched up to here
_MAX_TEXT_CHARS = 16_000


class Action(StrEnum):
    """What becomes of a message."""

    SEND = "send"
    #: kept in the history alone
    DROP = "drop"
    #: waits for a person
    HOLD = "hold"
    #: may be gathered with others
    DIGEST = "digest"


@dataclass(frozen=True)
class Facts:
    """What rules see: one mail, one recipient, one moment."""

    mail: Mail
    #: of the envelope, empty for the null sender
    sender: str
    recipient: Recipient
    client: Client
    #: aware
    now: datetime
    reading: Reading = UNREAD

    @cached_property
    def senders(self) -> tuple[Value, ...]:
        """Return the sender's addresses, of envelope and header; one that is empty where there is none."""
        found = dict.fromkeys(one for one in (self.sender, self.mail.from_address) if one)
        return tuple(Value(one) for one in found or ("",))

    @cached_property
    def recipients(self) -> tuple[Value, ...]:
        """Return what the recipient may be called: address without options, number."""
        local, at, domain = self.recipient.address.rpartition("@")
        plus = "+" if local.startswith("+") else ""
        name = plus + local.removeprefix("+").partition("+")[0]
        return (Value(f"{name}{at}{domain}"), Value(self.recipient.phone))

    @cached_property
    def subject(self) -> Value:
        """Return the subject."""
        return Value(self.mail.subject)

    @cached_property
    def text(self) -> Value:
        """Return the text."""
        return Value(self.mail.body[:_MAX_TEXT_CHARS])

    @cached_property
    def headers(self) -> dict[str, list[Value]]:
        """Return the header fields by name in lower case."""
        found: dict[str, list[Value]] = {}
        for name, value in self.mail.headers:
            found.setdefault(name.lower(), []).append(Value(value))
        return found

    @cached_property
    def local(self) -> dict[tzinfo | None, tuple[int, int]]:
        """Keep day of the week and minute of the day for each zone that was asked for."""
        return {}

    def local_time(self, zone: tzinfo | None) -> tuple[int, int]:
        """Return day of the week (Monday 0) and minute of the day in *zone*."""
        found = self.local.get(zone)
        if found is None:
            local = self.now.astimezone(zone)
            found = self.local[zone] = (local.weekday(), local.hour * 60 + local.minute)
        return found

    @cached_property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """Return the client's address, an IPv4 one as such; None where it has none."""
        try:
            found = ipaddress.ip_address(self.client.address)
        except ValueError:
            return None
        mapped = getattr(found, "ipv4_mapped", None)
        return mapped or found


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the rules say of one mail to one recipient; ``NO_RULE`` where none fits."""

    #: names of the rules that fitted, in order
    rules: tuple[str, ...] = ()
    options: Options = NOTHING
    action: Action = Action.SEND
    #: recipients as words of the configuration
    to: tuple[str, ...] = ()
    #: False where ``to`` stands in the recipient's place
    keeps_recipient: bool = True
    #: a device profile's name, ``auto`` or ``generic``; None where no rule says
    profile: str | None = None
    lifetime_s: float | None = None
    gateway: str | None = None
    #: how ``Action.DIGEST`` gathers; None: as by default
    digest: Digest | None = None
    #: names of quiet hours, beside those of the recipient
    quiet: tuple[str, ...] = ()
    #: a name below ``escalation:``, or ``off``; empty: as the recipient has it
    escalation: str = ""

    @property
    def rule(self) -> str | None:
        """Return the names as the history shows them."""
        return ", ".join(self.rules) or None


NO_RULE = Decision()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule's part in a decision, for ``explain``."""

    name: str
    #: 0-based, as in ``rules[2]`` of the configuration
    index: int
    fits: bool
    #: in words; for a rule that does not fit, the first condition that does not hold
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    words: str
    holds: Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class _Compiled:
    name: str
    index: int
    conditions: tuple[_Condition, ...]
    settings: Options
    rule: Rule
    to: tuple[str, ...] = field(default=())


class Rules:
    """The rules in force; built once for each configuration.

    *zone* is the machine's own, for rules without ``timezone``; None asks the system.
    Raises: ValueError for what the configuration's check would have refused.
    """

    def __init__(self, rules: Sequence[Rule], *, zone: tzinfo | None = None) -> None:
        self._rules = tuple(_compile(rule, index, zone) for index, rule in enumerate(rules))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def decide(self, facts: Facts) -> Decision:
        """Return what the rules say: the first that fits, and those after it where it says ``continue``."""
        decision = NO_RULE
        for rule in self._rules:
            for condition in rule.conditions:
                if not condition.holds(facts):
                    break
            else:
                decision = _add(decision, rule)
                if not rule.rule.continue_:
                    break
        return decision

    def trace(self, facts: Facts) -> Iterator[Step]:
        """Yield each rule that was looked at, and why it fitted or not."""
        for rule in self._rules:
            failed = next((one for one in rule.conditions if not one.holds(facts)), None)
            if failed is not None:
                yield Step(name=rule.name, index=rule.index, fits=False, because=f"not {failed.words}")
                continue
            words = ", ".join(one.words for one in rule.conditions) or "every mail"
            yield Step(name=rule.name, index=rule.index, fits=True, because=words)
            if not rule.rule.continue_:
                return


def _add(decision: Decision, rule: _Compiled) -> Decision:
    """Return *decision* as a further rule changes it: what it says stands over what earlier ones said."""
    settings = rule.rule.set_
    added = tuple(word for word in rule.to if _is_added(word))
    instead = tuple(word for word in rule.to if not _is_added(word))
    to = (instead or decision.to) + tuple(word.removeprefix("+") for word in added)
    return Decision(
        rules=(*decision.rules, rule.name),
        options=rule.settings.over(decision.options),
        action=_action(rule.rule) or decision.action,
        to=tuple(dict.fromkeys(to)),
        keeps_recipient=decision.keeps_recipient and not instead,
        profile=settings.profile or decision.profile,
        lifetime_s=settings.lifetime if settings.lifetime is not None else decision.lifetime_s,
        gateway=settings.gateway or decision.gateway,
        digest=rule.rule.digest or decision.digest,
        quiet=tuple(dict.fromkeys((*decision.quiet, *rule.rule.quiet))),
        escalation=rule.rule.escalation or decision.escalation,
    )


def _action(rule: Rule) -> Action | None:
    """Return what a rule says of the action; None where it says nothing."""
    if rule.action is not None:
        return Action(rule.action)
    return Action.DIGEST if rule.digest is not None else None


def _is_added(word: str) -> bool:
    """Tell ``+oncall`` and ``++79991234567``, which add, from the number ``+79991234567``."""
    return word.startswith("+") and not word[1:2].isdigit()


def _compile(rule: Rule, index: int, zone: tzinfo | None) -> _Compiled:
    own_zone = ZoneInfo(rule.timezone) if rule.timezone else zone
    return _Compiled(
        name=rule.name or f"rule {index + 1}",
        index=index,
        conditions=tuple(_conditions(rule.match, own_zone)),
        settings=_options(rule.set_),
        rule=rule,
        to=tuple(rule.to or ()),
    )


def _options(settings: RuleSettings) -> Options:
    options = Options(
        sender=parse_sender(settings.sender) if settings.sender else None,
        translit=settings.translit,
        template=settings.text,
        time=parse_time(settings.time) if settings.time is not None else None,
        valid=parse_valid(settings.valid) if settings.valid is not None else None,
        flash=settings.flash,
        max_parts=settings.max_parts,
        channel=settings.channel,
        fit=settings.fit,
    )
    return NOTHING if options == NOTHING else options


def _conditions(match: Match, zone: tzinfo | None) -> Iterator[_Condition]:
    """Yield the conditions of a rule, the cheap ones first."""
    for words, attribute in (("profile", "profile"), ("severity", "severity"), ("event", "event")):
        wanted = getattr(match, words)
        if wanted is not None:
            yield _reading(words, attribute, frozenset(wanted))
    if match.user is not None:
        yield _user(match.user)
    if match.network is not None:
        yield _network(match.network)
    if match.days is not None:
        yield _days(match.days, zone)
    if match.time is not None:
        yield _time(match.time, zone)
    if match.from_ is not None:
        yield _any_of("from", match.from_, lambda facts: facts.senders)
    if match.recipient is not None:
        yield _any_of("recipient", match.recipient, lambda facts: facts.recipients)
    if match.subject is not None:
        tests = compile_tests(match.subject)
        yield _Condition(words=_said("subject", match.subject), holds=lambda facts: fits_any(tests, facts.subject))
    for name, patterns in (match.header or {}).items():
        yield _header(name, patterns)
    if match.text is not None:
        text_tests = compile_tests(match.text)
        yield _Condition(words=_said("text", match.text), holds=lambda facts: fits_any(text_tests, facts.text))


def _said(key: str, patterns: Sequence[str]) -> str:
    return f"{key} {' or '.join(patterns)}"


def _any_of(key: str, patterns: Sequence[str], values: Callable[[Facts], tuple[Value, ...]]) -> _Condition:
    tests = compile_tests(patterns)
    return _Condition(
        words=_said(key, patterns),
        holds=lambda facts: any(fits_any(tests, value) for value in values(facts)),
    )


def _header(name: str, patterns: Sequence[str]) -> _Condition:
    tests, wanted = compile_tests(patterns), name.lower()

    def holds(facts: Facts) -> bool:
        fields = facts.headers.get(wanted)
        return fields is not None and any(fits_any(tests, value) for value in fields)

    return _Condition(words=_said(f"header {name}", patterns), holds=holds)


def _reading(words: str, attribute: str, wanted: frozenset[str]) -> _Condition:
    said = f"{words} {' or '.join(sorted(wanted))}"
    return _Condition(words=said, holds=lambda facts: getattr(facts.reading, attribute) in wanted)


def _user(patterns: Sequence[str]) -> _Condition:
    tests = compile_tests(patterns)

    def holds(facts: Facts) -> bool:
        user = facts.client.user
        return user is not None and fits_any(tests, Value(user))

    return _Condition(words=_said("user", patterns), holds=holds)


def _network(words: Sequence[str]) -> _Condition:
    names = frozenset(word for word in words if word in {"unix", "local"})
    networks = tuple(ipaddress.ip_network(word) for word in words if word not in names)

    def holds(facts: Facts) -> bool:
        if facts.client.address in names:
            return True
        address = facts.address
        return address is not None and any(address in network for network in networks)

    return _Condition(words=_said("network", words), holds=holds)


def _days(words: Sequence[str], zone: tzinfo | None) -> _Condition:
    days = frozenset[int]().union(*(parse_days(word) for word in words))
    return _Condition(words=_said("days", words), holds=lambda facts: facts.local_time(zone)[0] in days)


def _time(words: Sequence[str], zone: tzinfo | None) -> _Condition:
    spans = tuple(parse_span(word) for word in words)

    def holds(facts: Facts) -> bool:
        minute = facts.local_time(zone)[1]
        return any(is_within(minute, span) for span in spans)

    return _Condition(words=_said("time", words), holds=holds)

"""A mail becomes messages: read by a device profile, decided by the rules, composed for each recipient.

    Mail -> Reading -> Decision for each recipient -> [Planned]

Used by ``app`` for the door, and by the verbs that foretell what it would do. Pure but for names that a rule's ``to``
gives, which are looked up by the function handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import randbelow

from mailbridge.errors import IntakeError
from mailbridge.escalation.chains import Chain, Chains, Draw, escalate
from mailbridge.intake.compose import EVERYBODYS, Candidate, Composer
from mailbridge.intake.options import Options
from mailbridge.intake.rights import Rights
from mailbridge.model.alert import Alert, Event
from mailbridge.model.mail import Client, Mail, ReceivedMail, Recipient
from mailbridge.model.message import Message
from mailbridge.model.reading import Reading
from mailbridge.profiles.reader import Profiles
from mailbridge.queue.escalations import Escalate
from mailbridge.rules.engine import NO_RULE, Action, Decision, Facts, Rules, Step

_EVENTS = {event.value: event for event in Event}

#: who a word in a rule's ``to`` stands for now; raises errors.IntakeError
Resolve = Callable[[str, Client], Sequence[Recipient]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One message as it will be, and how that was decided."""

    message: Message
    recipient: Recipient
    reading: Reading
    decision: Decision = NO_RULE
    #: the chain it begins, and what the store needs to know of it; None: nobody has to answer
    chain: Chain | None = None
    escalate: Escalate | None = None

    @property
    def bare(self) -> Message:
        """Return the message without the line that is another one each time."""
        if self.chain is None:
            return self.message
        return replace(self.message, text=self.message.text.rpartition("\n")[0])


_Wanted = tuple[Recipient, Decision, Reading]
_Begun = tuple[Chain, Escalate]


def _ending(options: Options, begun: _Begun) -> Options:
    chain, wanted = begun
    return replace(options, ending=chain.line(wanted.numbers[0]))


def _planned(
    wanted: _Wanted, place: int, message: Message, *, chained: Mapping[int, str], begins: Mapping[str, _Begun]
) -> Planned:
    recipient, decision, reading = wanted
    named = message if decision is NO_RULE else replace(message, rule=decision.rule)
    chain, asked = begins[chained[place]] if place in chained else (None, None)
    return Planned(message=named, recipient=recipient, reading=reading, decision=decision, chain=chain, escalate=asked)


def alert_of(reading: Reading, mail: Mail) -> Alert:
    """Return what *reading* of *mail* is about, as storms are gathered by it."""
    if not reading.short:
        # nobody understood it: it is called by its subject, and told from others by its text
        return Alert(service=mail.subject)
    thing = reading.about or reading.service
    return Alert(
        subject="/".join(word for word in (reading.host, thing) if word),
        event=_EVENTS.get(reading.event), severity=reading.severity, host=reading.host, service=thing,
        short=reading.short,
    )  # fmt: skip


class Planner:
    """Plans mails as the configuration says; built once for each configuration.

    *profile* is ``message.profile``; *resolve* turns a rule's words into recipients; *rights* are those of the users
    who have some of their own, by name.
    """

    def __init__(
        self, *, composer: Composer, profiles: Profiles, rules: Rules, resolve: Resolve, profile: str = "auto",
        rights: Mapping[str, Rights] | None = None, chains: Chains | None = None, draw: Draw = randbelow,
    ) -> None:  # fmt: skip
        """*rights* by a user's name; *draw* chooses the numbers that answers name."""
        self._composer = composer
        self._profiles = profiles
        self._rules = rules
        self._resolve = resolve
        self._profile = profile
        self._rights = rights or {}
        self._chains = chains
        self._draw = draw

    def plan(
        self, mail: Mail, recipients: Sequence[Recipient], *, sender: str, client: Client, now: datetime
    ) -> tuple[tuple[Planned, ...], ...]:
        """Return the messages of *mail*, one group for each of *recipients*, in order; no group is empty.

        Raises: Rejected, as ``Composer.compose``.
        """
        reading = self._profiles.read(mail, self._profile)
        seen = self._recognised(mail, reading) if self._rules else reading
        groups: list[list[_Wanted]] = []
        for named in recipients:
            group = []
            for one in named.each():
                if not self._rules:
                    group.append((one, NO_RULE, reading))
                    continue
                decision = self._rules.decide(Facts(mail, sender, one, client, now, seen))
                own = reading if decision.profile is None else self._profiles.read(mail, decision.profile)
                group += [(whom, decision, own) for whom in self._whom(one, decision, client)]
            groups.append(group)
        begins: dict[str, _Begun] = {}
        # the place of each message -> the chain it begins
        chained = {} if not self._chains else self._begin(groups, self._chains, begins)
        flat = [
            (whom, decision.options if place not in chained else _ending(decision.options, begins[chained[place]]), own)
            for place, (whom, decision, own) in enumerate(one for group in groups for one in group)
        ]
        rights = self._rights.get(client.user or "", EVERYBODYS)
        messages = iter(enumerate(self._composer.compose_each(mail, flat, now, rights=rights)))
        return tuple(
            tuple(_planned(one, *next(messages), chained=chained, begins=begins) for one in group) for group in groups
        )

    def _begin(self, groups: Sequence[Sequence[_Wanted]], chains: Chains, begins: dict[str, _Begun]) -> dict[int, str]:
        """Fill *begins* by name, one for all messages of a chain; return which message begins which."""
        chained = {}
        for place, (whom, decision, own) in enumerate(one for group in groups for one in group):
            chain = chains.chain_of(whom, named=decision.escalation, event=own.event)
            if chain is not None and decision.action is not Action.DROP:
                chained[place] = chain.name
                if chain.name not in begins:
                    begins[chain.name] = (chain, escalate(chain, self._draw))
        return chained

    def plan_received(self, received: ReceivedMail, mail: Mail) -> tuple[tuple[Planned, ...], ...]:
        """Return the messages of *received*, which reads as *mail*. Raises: Rejected."""
        return self.plan(
            mail, received.recipients, sender=received.sender, client=received.client, now=received.received_at
        )

    def trace(self, mail: Mail, recipient: Recipient, *, sender: str, client: Client, now: datetime) -> list[Step]:
        """Return how the rules decide about *mail* to *recipient*, in words."""
        reading = self._recognised(mail, self._profiles.read(mail, self._profile))
        return list(self._rules.trace(Facts(mail, sender, recipient, client, now, reading)))

    def candidates(self, mail: Mail, planned: Planned, now: datetime) -> tuple[Candidate, ...]:
        """Return the ways to write the message of *planned*."""
        return self._composer.candidates(
            mail, planned.recipient, now, set_by_rule=planned.decision.options, reading=planned.reading
        )

    def _recognised(self, mail: Mail, reading: Reading) -> Reading:
        """Return what rules see: who wrote the mail, even where its line is not wanted."""
        return reading if self._profile == "auto" else self._profiles.read(mail)

    def _whom(self, recipient: Recipient, decision: Decision, client: Client) -> list[Recipient]:
        """Return who gets it: the recipient, others, or both; the recipient where nobody else can be found."""
        found = [recipient] if decision.keeps_recipient else []
        for word in decision.to if decision.action is not Action.DROP else ():
            try:
                others = self._resolve(word, client)
            except IntakeError:
                # an alert for nobody would be lost: it goes to whom its sender wrote
                others = ()
            found += [replace(other, notify=recipient.notify, orcpt=recipient.orcpt) for other in others]
        return list({one.phone: one for one in reversed(found)}.values())[::-1] or [recipient]

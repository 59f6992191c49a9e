"""The chains of one configuration: which mail begins which, who its steps mean now, and who may answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import randbelow

from mailbridge.config.check_alarms import NO_CHAIN, PLACE
from mailbridge.config.check_people import CATCH_ALL, bare_number
from mailbridge.config.model import Config
from mailbridge.config.model_alarms import Chain as ChainSettings
from mailbridge.model.mail import Recipient
from mailbridge.model.phone import Phone
from mailbridge.people.directory import Directory
from mailbridge.queue.escalations import NUMBER_DIGITS, Escalate

#: so many numbers a new escalation chooses from: with a thousand open ones all of them are taken once in 10^19 times
_DRAWN = 20
#: what happened, as profiles say it: only a problem, or a mail nobody understood, has to be answered
_ANSWERED = frozenset({"", "problem"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a chain."""

    #: ``call`` or ``send``
    action: str
    #: people, aliases, rotas or numbers
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.action} {', '.join(self.words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """An alert of this name has to be answered."""

    name: str
    after_s: float
    #: that it was delivered ends it, too
    delivered_is_enough: bool
    steps: tuple[Step, ...]
    #: the last line of the text, but for the number
    answer: str

    def line(self, number: str) -> str:
        """Return the last line of the text."""
        return self.answer.replace(PLACE, number)

    def __str__(self) -> str:
        wanted = "delivery" if self.delivered_is_enough else "an answer"
        return f"without {wanted}, {', then '.join(map(str, self.steps))}, {self.after_s:g} s apart"


class Chains:
    """The chains of *config*; *directory* says whom a name means."""

    def __init__(self, config: Config, directory: Directory) -> None:
        self._chains = {name: _chain(name, settings) for name, settings in config.escalation.items()}
        self._directory = directory
        lower = {name.lower(): name for name in config.escalation}
        self._of_name: dict[str, str] = {}
        for name, alias in config.aliases.items():
            found = alias.escalation or lower.get(name.lower()) or (alias.rota if alias.rota in self._chains else "")
            if found:
                self._of_name[name.lower()] = found
        for name in config.people:
            if name.lower() in lower:
                self._of_name[name.lower()] = lower[name.lower()]
        self._names = {name.lower() for name in (*config.people, *config.aliases)}
        self._people = {bare_number(person.phone): name for name, person in config.people.items()}

    def __bool__(self) -> bool:
        """True where anything may have to be answered."""
        return bool(self._chains)

    def get(self, name: str) -> Chain | None:
        """Return the chain of that name."""
        return self._chains.get(name)

    def chain_of(self, recipient: Recipient, *, named: str, event: str) -> Chain | None:
        """Return the chain that a mail to *recipient* begins; None: it need not be answered.

        *named*: what a rule says of it; *event*: what happened, as a device profile found it.
        """
        if not self._chains or named == NO_CHAIN or event not in _ANSWERED:
            return None
        alias = recipient.alias if recipient.alias in self._names or not recipient.alias else CATCH_ALL
        return self._chains.get(named or self._of_name.get(alias, NO_CHAIN))

    def numbers(self, words: Iterable[str], at: datetime) -> tuple[Phone, ...]:
        """Return the numbers that *words* mean, each once; rotas and calendars may know nobody."""
        found: list[Phone] = []
        for word in words:
            is_rota = word in self._directory.rotas and not self._directory.knows(word)
            names = self._directory.rotas[word].on_duty(at) if is_rota else (word,)
            found += self._directory.numbers(names, at)
        return tuple(dict.fromkeys(found))

    def members(self, chain: Chain, at: datetime) -> frozenset[Phone]:
        """Return whom the steps of *chain* mean now."""
        return frozenset(number for step in chain.steps for number in self.numbers(step.words, at))

    def name_of(self, phone: str) -> str:
        """Return who has that number, as ``anna (+79991234567)``; the number alone where nobody has."""
        name = self._people.get(phone)
        return phone if name is None else f"{name} ({phone})"


#: a number from 0 to below that
Draw = Callable[[int], int]


def escalate(chain: Chain, draw: Draw = randbelow) -> Escalate:
    """Return what a message asks for that begins *chain*: numbers that nobody can guess, of one length."""
    lowest = 10 ** (NUMBER_DIGITS - 1)
    numbers = tuple(dict.fromkeys(str(lowest + draw(9 * lowest)) for _ in range(_DRAWN)))
    return Escalate(chain=chain.name, after_s=chain.after_s, numbers=numbers)


def _chain(name: str, settings: ChainSettings) -> Chain:
    steps: Sequence[Mapping[str, list[str]]] = [{"call": one.call, "send": one.send} for one in settings.then]
    return Chain(
        name=name,
        after_s=settings.after,
        delivered_is_enough="acknowledged" not in settings.unless,
        steps=tuple(Step(action=action, words=tuple(words)) for one in steps for action, words in one.items() if words),
        answer=settings.answer,
    )

"""Whom a name means now: people, aliases, groups, rotas, and the name that takes all others. Pure: told the time.

What leads nowhere or in a circle was refused by ``config/check_people.py``. Only a calendar can name somebody nobody
knows; such names are passed over here, and told by whoever read the calendar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from mailbridge.config.check_people import bare_number, parse_start
from mailbridge.config.model import Config
from mailbridge.config.model_people import Rota as RotaSettings
from mailbridge.model.phone import Phone
from mailbridge.people.rota import Calendar, Rota, Rotation
from mailbridge.people.zones import Zone


class Directory:
    """The people, aliases and rotas of one configuration."""

    def __init__(self, config: Config, calendars: Mapping[str, Calendar]) -> None:
        """*calendars* has those of the rotas with ``ics``, by the rota's name; one that is missing knows nobody."""
        self._people = {name.lower(): _phone(person.phone) for name, person in config.people.items()}
        self._aliases = {name.lower(): alias for name, alias in config.aliases.items()}
        self.rotas: Mapping[str, Rota] = {
            name: calendars.get(name) or Calendar(otherwise=settings.otherwise)
            if settings.ics
            else build_rotation(settings)
            for name, settings in config.rotas.items()
        }

    def __bool__(self) -> bool:
        """True where any name is known."""
        return bool(self._people or self._aliases)

    def knows(self, name: str) -> bool:
        """Tell whether *name* is a person, an alias or a number."""
        return name.lower() in self._people or name.lower() in self._aliases or bare_number(name) is not None

    def find(self, name: str, at: datetime) -> tuple[Phone, ...] | None:
        """Return the numbers *name* stands for, each once; None where nobody has that name.

        Shape: empty where a rota knows nobody for that time.
        """
        name = name.lower()
        if name not in self._people and name not in self._aliases:
            return None
        return self.numbers((name,), at)

    def numbers(self, names: Iterable[str], at: datetime) -> tuple[Phone, ...]:
        """Return the numbers that *names* stand for, each once; names of nobody are passed over."""
        return tuple(dict.fromkeys(one for name in names for one in self._numbers(name.lower(), at, frozenset())))

    def aliases_of(self, rota: str) -> tuple[str, ...]:
        """Return the aliases that mean *rota*."""
        return tuple(name for name, alias in self._aliases.items() if alias.rota == rota)

    def rota_of(self, alias: str) -> str | None:
        """Return the rota an alias means, None where it means none."""
        found = self._aliases.get(alias.lower())
        return found.rota or None if found is not None else None

    def _numbers(self, name: str, at: datetime, above: frozenset[str]) -> Iterator[Phone]:
        # a calendar may name the very alias that asks it
        if name in above:
            return
        if name in self._people:
            yield self._people[name]
        elif (alias := self._aliases.get(name)) is not None:
            words = self.rotas[alias.rota].on_duty(at) if alias.rota else alias.to
            for word in words:
                yield from self._numbers(word.lower(), at, above | {name})
        elif (number := bare_number(name)) is not None:
            yield Phone(number)


def build_rotation(settings: RotaSettings) -> Rotation:
    """Return the rotation that *settings* without ``ics`` describe."""
    return Rotation(
        start=parse_start(settings.start),
        every=timedelta(seconds=settings.every),
        members=settings.members,
        zone=Zone(settings.timezone),
    )


def _phone(text: str) -> Phone:
    number = bare_number(text)
    assert number is not None  # the configuration's check takes no other
    return Phone(number)

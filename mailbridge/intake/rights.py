"""What a user who has signed in may ask for: sender names, and the numbers they may send to. Pure.

Asked by ``address.py`` at RCPT TO and by ``compose.py`` for a mail's header.
Must not judge what the configuration itself says: whom a name stands for, what a rule sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailbridge.config.model import Numbers, User
from mailbridge.errors import Rejected
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.model.reply import SENDER_NOT_YOURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one user has of their own; None: as everybody."""

    #: the first is the default
    senders: tuple[str, ...] | None = None
    numbers: NumberPolicy | None = None

    def sender(self, asked: str) -> str:
        """Return the sender name *asked* for, spelled as the configuration has it. Raises: Rejected."""
        if self.senders is None:
            return asked
        for name in self.senders:
            if name.casefold() == asked.casefold():
                return name
        raise Rejected(SENDER_NOT_YOURS)


def read_rights(users: Sequence[User], numbers: Numbers) -> Mapping[str, Rights]:
    """Return the rights of those of *users* who have any of their own; *numbers* says how numbers are read."""
    return {
        user.name: Rights(
            senders=None if user.senders is None else tuple(user.senders),
            numbers=None if user.numbers is None else NumberPolicy(numbers.model_copy(update={"allow": user.numbers})),
        )
        for user in users
        if user.senders is not None or user.numbers is not None
    }

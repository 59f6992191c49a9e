"""Every exception of ours, in one tree; the class docstring is the default message.

What a carrier *answers* is not an exception but a value, see ``model/outcome.py``.
Outsiders never see an exception's text: they get a ``Reply`` from the one table in ``model/reply.py``.

    MailbridgeError
     +- ConfigError            holds all problems found in the configuration
     +- IntakeError            holds the Reply an SMTP client is to get
     |   +- Rejected           5xx: this mail or recipient can never be sent
     |   +- TryLater           4xx: our own trouble or a passing limit
     +- StoreError             4xx: the queue could not keep its promise
     |   +- StoreFull          no room on the disk
     |   +- StoreDamaged       the file is not a readable queue
     |   +- NotFound           no such mail or message
     |   +- WrongState         the message's state does not allow that action
     |   +- AskedOtherwise     the key of a request stands for another one
     +- TransportError
     |   +- NotSent            the connection failed before any byte of the request left: free to try again
     |   +- OutcomeUnknown     bytes left and no usable answer came back: ask, never repeat blindly
     +- RelayError             a mail of ours did not reach the smarthost
         +- RelayUnavailable   its trouble or ours: the same mail may go later
         +- RelayRefused       it will never take this mail
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailbridge.config.problems import Problem
    from mailbridge.model.reply import Reply


class MailbridgeError(Exception):
    """Something in mailbridge went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class ConfigError(MailbridgeError):
    """The configuration has problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class IntakeError(MailbridgeError):
    """The mail was not taken."""

    def __init__(self, reply: Reply, message: str | None = None) -> None:
        super().__init__(message or str(reply))
        self.reply = reply


class Rejected(IntakeError):
    """This mail or recipient can never be sent."""


class TryLater(IntakeError):
    """Not now: the same mail may be taken later."""


class StoreError(MailbridgeError):
    """The queue could not do what was asked; try again."""


class StoreFull(StoreError):
    """There is no room left for the queue."""


class StoreDamaged(StoreError):
    """The queue's file is damaged or of another kind."""

    def unproven(self) -> StoreError:
        """Return what to say instead where the file was found whole a moment ago: a sick disk reads like damage."""
        return StoreError(f"{self}, or its disk does not work; the next start looks again")


class NotFound(StoreError):
    """There is no such mail or message."""


class WrongState(StoreError):
    """The message's state does not allow that."""


class AskedOtherwise(StoreError):
    """That key stands for another request."""


class TransportError(MailbridgeError):
    """The gateway was not reached or not understood."""


class NotSent(TransportError):
    """The connection failed before the request left."""


class OutcomeUnknown(TransportError):
    """The request left and no usable answer came back."""


class RelayError(MailbridgeError):
    """The smarthost did not take a mail of ours."""


class RelayUnavailable(RelayError):
    """The smarthost cannot take the mail now."""


class RelayRefused(RelayError):
    """The smarthost will never take this mail."""

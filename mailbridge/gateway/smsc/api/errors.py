"""What the gateway refuses, as exceptions: one class for each meaning, found by method and code.

The same code means different things in different methods: 3 is "no money" for ``send.php`` and "nothing found" for
``get.php``. ``docs/reference/smsc-client.md`` is made from ``ERRORS``.
Must not know how a request is made, and must not fail for a code that is not in the table.
Source: smsc-api.md 2.7 and 3. Codes marked uncertain there have a class here, and nothing depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailbridge.errors import MailbridgeError


class SmscError(MailbridgeError):
    """The gateway refused a request.

    Shape: ``method`` is the script without ``.php``; ``code`` the gateway's number; ``text`` its own words, cleaned of
    secrets; ``id`` the message's id where the refusal names one (codes 3, 6, 7 and 8 of ``send``), else empty.
    """

    def __init__(self, method: str, code: int, text: str, message_id: str = "") -> None:
        what = (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")
        super().__init__(f"{method}.php, error {code}: {text or what}")
        self.method = method
        self.code = code
        self.text = text
        self.id = message_id

    def __reduce__(self) -> tuple[type[SmscError], tuple[str, int, str, str]]:
        """Keep all fields when the exception goes to another process."""
        return type(self), (self.method, self.code, self.text, self.id)


class UnknownCode(SmscError):
    """A code that is documented nowhere."""


# -------------------------------------------------------------------------------------------- in every method
class BadParameters(SmscError):
    """Parameters are wrong or missing."""


class NotAuthorised(SmscError):
    """Wrong login, password or key, or this address is not in the account's list."""


class AddressBlocked(SmscError):
    """This address is blocked for a while after too many bad requests."""


class TooManyRequests(SmscError):
    """Too often, or 15 and more at once: wait a minute."""


# ------------------------------------------------------------------------------------------- send.php, jobs.php
class NoMoney(SmscError):
    """There is not enough money on the account."""


class BadDate(SmscError):
    """The time was not understood."""


class Denied(SmscError):
    """The text or the sender name is forbidden, or there is no contract for such messages."""


class BadNumber(SmscError):
    """The number has a wrong format."""


class Undeliverable(SmscError):
    """Messages cannot be delivered to this number."""


class DuplicateRequest(TooManyRequests):
    """The identical request came within a minute, or 15 and more requests at once."""


# -------------------------------------------------------------------------------------------------- elsewhere
class NothingFound(SmscError):
    """There is no such record. Lists turn it into an empty list."""


class OperatorNotFound(NothingFound):
    """Nobody knows that number's operator."""


class DeletionFailed(SmscError):
    """The message was not deleted: it is unknown, or has left already."""


class SavingFailed(SmscError):
    """The change was not saved."""


class OperationFailed(SmscError):
    """The operation failed."""


class NoSuchSubAccount(NothingFound):
    """There is no such sub-account."""


class SharedBalance(SmscError):
    """The sub-account shares the main balance, or ``second_balance`` is missing for the electronic one."""


class TooManyChanges(TooManyRequests):
    """More than three changes of one sub-account within a minute."""


class NotEnoughToTransfer(NoMoney):
    """There is not enough money to transfer."""


class CallLimit(SmscError):
    """That number was called too often."""


#: codes that mean the same everywhere
COMMON: Mapping[int, type[SmscError]] = {
    1: BadParameters,
    2: NotAuthorised,
    4: AddressBlocked,
    9: TooManyRequests,
}
_SEND: Mapping[int, type[SmscError]] = {
    3: NoMoney,
    5: BadDate,
    6: Denied,
    7: BadNumber,
    8: Undeliverable,
    9: DuplicateRequest,
}
_RECORDS: Mapping[int, type[SmscError]] = {3: NothingFound, 5: OperationFailed}
_TEXTS: Mapping[int, type[SmscError]] = {3: NothingFound, 5: SavingFailed}

#: method -> its own codes, beside ``COMMON``
ERRORS: Mapping[str, Mapping[int, type[SmscError]]] = {
    "send": _SEND,
    "status": {5: DeletionFailed},
    "balance": {},
    "get": {3: NothingFound},
    "info": {3: OperatorNotFound},
    "phones": _TEXTS,
    "jobs": _RECORDS,
    # adding a mailing is sending: its codes are those of send.php (inferred)
    "jobs add": _SEND,
    "templates": _TEXTS,
    "op_templates": _TEXTS,
    "senders": _TEXTS,
    "users": {
        3: NothingFound,
        5: OperationFailed,
        6: NoSuchSubAccount,
        7: SharedBalance,
        8: SavingFailed,
        9: TooManyChanges,
        10: NotEnoughToTransfer,
    },
    "documents": _RECORDS,
    "ping": _RECORDS,
    "tinyurls": _RECORDS,
    "receive_phones": _RECORDS,
    "wait_call": {3: NoMoney, 5: BadNumber, 6: CallLimit},
    "get_mnp": {3: NothingFound},
}


def error_of(method: str, code: int, text: str, message_id: str = "", *, table: str | None = None) -> SmscError:
    """Return the exception that *code* of *method* is; ``UnknownCode`` for one that is in no table.

    Units: *table* names the row of ``ERRORS`` where it is not the method's.
    """
    kind = ERRORS.get(table or method, {}).get(code) or COMMON.get(code, UnknownCode)
    return kind(method, code, text, message_id)

"""The rows of a ``MemoryStore``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mailbridge.queue import rules
from mailbridge.queue.contract import Attempt, GatewayState, OutgoingMail, Report, ReportItem, StoredMail, StoredMessage
from mailbridge.queue.memory_browsing import Lines
from mailbridge.queue.memory_kept import Kept


@dataclass(slots=True)
class Tables:
    """All rows; dictionaries keep the order of insertion."""

    mails: dict[str, StoredMail] = field(default_factory=dict)
    messages: dict[str, StoredMessage] = field(default_factory=dict)
    #: mail id -> when its reports may go out
    hold: dict[str, datetime] = field(default_factory=dict)
    #: message id -> node that claimed it last
    claimed_by: dict[str, str] = field(default_factory=dict)
    keys: dict[str, rules.KeyOwner] = field(default_factory=dict)
    history: Lines = field(default_factory=Lines)
    attempts: dict[tuple[str, str, str], Attempt] = field(default_factory=dict)
    #: item id -> (mail id, item)
    items: dict[int, tuple[str, ReportItem]] = field(default_factory=dict)
    #: items already handed to the mailer or the log
    reported: set[int] = field(default_factory=set)
    outgoing: dict[int, OutgoingMail] = field(default_factory=dict)
    gateways: dict[str, GatewayState] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)
    next_gateway_id: int = 1
    serial: int = 0

    def next_serial(self) -> int:
        """Return a number nobody has."""
        self.serial += 1
        return self.serial

    def of_mail(self, mail_id: str) -> list[StoredMessage]:
        """Return the messages of a mail."""
        return [row for row in self.messages.values() if row.mail_id == mail_id]

    def is_told(self, message_id: str, action: Report) -> bool:
        """Tell whether that is told of a message, or to be told."""
        return any(item.message_id == message_id and item.action is action for _, item in self.items.values())

    def take_back(self, message_id: str) -> None:
        """Forget the failures of a message that nobody was told yet."""
        for id_, (_, item) in list(self.items.items()):
            if item.message_id == message_id and item.action is Report.FAILED and id_ not in self.reported:
                del self.items[id_]

    def pending(self, mail_id: str | None = None) -> list[tuple[str, ReportItem]]:
        """Return what is to be told yet, of one mail or of all."""
        return [
            (owner, item)
            for id_, (owner, item) in self.items.items()
            if id_ not in self.reported and mail_id in (None, owner)
        ]

"""``jobs.php``, ``tinyurls.php`` and ``receive_phones.php``: mailings, short links, rented numbers.

Part of ``client``. Source: smsc-api.md 8.6, 8.10.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Unpack

from mailbridge.gateway.smsc.api import reading
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.options import Record, SendOptions, list_pairs, option_pairs, pairs_of, text_pairs
from mailbridge.gateway.smsc.api.values import Done, Link, Mailing, RentedNumber, Sent


class Repeat(IntEnum):
    """How often a mailing goes out again."""

    NEVER = 0
    HOURLY = 1
    DAILY = 2
    WORKDAYS = 3
    WEEKENDS = 4
    WEEKLY = 5
    MONTHLY = 6
    YEARLY = 7


class Mailings:
    """Texts to many, now or later, once or again and again."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def add(
        self,
        name: str,
        phones: str | Iterable[str] = (),
        text: str = "",
        *,
        records: Iterable[Record] = (),
        sender_of_repeat: str | None = None,
        sms_text: str | None = None,
        template: str | int | None = None,
        repeat: Repeat | None = None,
        max_repeats: int | None = None,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """Make a mailing: *text* to *phones*, or *records*.

        *sms_text*: what goes by SMS where the first way fails (``mes2``). *template*: id of a kept text.
        Raises: as ``Client.send`` (inferred). Source: smsc-api.md 8.6 (``add``).
        """
        listed = list(records)
        what = list_pairs(listed) if listed else text_pairs(phones, text, options)
        pairs = [
            *pairs_of(
                add=1, name=name, sender2=sender_of_repeat, mes2=sms_text, tpl=template,
                rpt=None if repeat is None else int(repeat), rptn=max_repeats,
            ),
            *what,
            *option_pairs(options),
            ("cost", "3"),
        ]  # fmt: skip
        fields = await self._ask.object("jobs", pairs, files=options.get("files", ()), table="jobs add")
        return reading.read_sent(fields)

    async def delete(self, mailing: str | int) -> Done:
        """Delete a mailing. Raises: NothingFound, OperationFailed. Source: smsc-api.md 8.6 (``del``)."""
        return await self._ask.command("jobs", pairs_of(del_=1, id=mailing))

    async def cancel(self, mailing: str | int) -> Done:
        """Stop a mailing that waits: its messages then have status -2.

        Raises: NothingFound, OperationFailed. Source: smsc-api.md 8.6 (``cancel``).
        """
        return await self._ask.command("jobs", pairs_of(cancel=1, id=mailing))

    async def get(self, mailing: str | int) -> Mailing:
        """Return one mailing. Raises: NothingFound. Source: smsc-api.md 8.6 (``get``)."""
        return reading.read_mailing(await self._ask.object("jobs", pairs_of(get=1, id=mailing)))

    async def list(self, *, start: str | None = None, end: str | None = None, mails: bool = False) -> list[Mailing]:
        """Return the mailings between two days (``dd.mm.yyyy``); *mails*: those by e-mail.

        Source: smsc-api.md 8.6 (``get_all``).
        """
        pairs = pairs_of(get_all=1, start=start, end=end, mail=mails or None)
        return await self._ask.list("jobs", pairs, reading.read_mailing)


class ShortLinks:
    """Links that count their clicks."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def clicks(self, *, link: str | None = None, link_id: str | int | None = None) -> list[Link]:
        """Return how often a link was followed; *link* or *link_id* names it.

        Source: smsc-api.md 8.10 (``tinyurls.php``; the answer's shape is not documented).
        """
        return await self._ask.list("tinyurls", pairs_of(get=1, link=link, id=link_id), reading.read_link)


class RentedNumbers:
    """Numbers that receive SMS for the account."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask

    async def list(self) -> list[RentedNumber]:
        """Return the numbers. Source: smsc-api.md 8.10 (``receive_phones.php``; its answers are not documented)."""
        return await self._ask.list("receive_phones", pairs_of(get=1), reading.read_rented)

    async def rent(self, phone: str | None = None) -> Done:
        """Rent a number. Raises: OperationFailed. Source: smsc-api.md 8.10 (``buy``)."""
        return await self._ask.command("receive_phones", pairs_of(buy=1, phone=phone))

    async def prolong(self, phone: str, *, wanted: bool) -> Done:
        """Say whether a number is to be kept when its time is over. Source: smsc-api.md 8.10 (``chg``)."""
        return await self._ask.command("receive_phones", pairs_of(chg=1, phone=phone, noprolong=int(not wanted)))

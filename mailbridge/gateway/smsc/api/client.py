"""``Client``: every method of the gateway, for programs.

    async with Client(login="acme", password=password) as client:
        sent = await client.send("+79991234567", "Disk full", sender="ALERT")
        print((await client.status("+79991234567", sent.id)).meaning.words)

It stands on the same codec, line and answers as the bridge's own way out. One request is made for one call and never
repeated: after ``OutcomeUnknown`` from ``send`` ask ``status`` before anything else (smsc-api.md 2.6).
Every method raises ``SmscError`` as the gateway refuses (``errors.ERRORS``), ``NotSent`` where no byte left, and
``OutcomeUnknown`` where a request left and no usable answer came. Must not wait, retry or keep anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Self, Unpack

from mailbridge.clock import Clock, SystemClock
from mailbridge.errors import OutcomeUnknown
from mailbridge.gateway.smsc.answers import as_currency, as_money
from mailbridge.gateway.smsc.api import reading, values
from mailbridge.gateway.smsc.api.accounts import Documents, SubAccounts
from mailbridge.gateway.smsc.api.ask import Asker
from mailbridge.gateway.smsc.api.campaigns import Mailings, RentedNumbers, ShortLinks
from mailbridge.gateway.smsc.api.contacts import BlackList, Contacts, Groups
from mailbridge.gateway.smsc.api.options import (
    Kind,
    Record,
    SendOptions,
    joined,
    list_pairs,
    option_pairs,
    pairs_of,
    text_pairs,
)
from mailbridge.gateway.smsc.api.texts import OperatorTemplates, Senders, Templates
from mailbridge.gateway.smsc.api.values import (
    Done,
    Inbound,
    Money,
    Operator,
    Quote,
    Sent,
    Spend,
    Status,
    Tariff,
    WaitCall,
)
from mailbridge.gateway.smsc.line import Line
from mailbridge.gateway.transport import ConnectorFactory, default_connector

#: price, balance and each number's own result are asked for with every message
_REPORT = [("cost", "3"), ("op", "1"), ("err", "1")]
_HOSTS = ("https://smsc.ru", "https://www2.smsc.ru")
_PAGE = 1000


class Client:
    """One account. ``async with`` it, or ``aclose`` it at the end.

    *url*: hosts, asked in this order as long as no byte of the request left. Credentials: *login* and *password* (or
    its MD5), or *apikey*. Units: seconds.
    """

    def __init__(
        self,
        *,
        login: str | None = None,
        password: str | None = None,
        apikey: str | None = None,
        url: str | Sequence[str] = _HOSTS,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 4.0,
        proxy: str | None = None,
        clock: Clock | None = None,
        connector: ConnectorFactory = default_connector,
    ) -> None:
        self._line = Line(
            [url] if isinstance(url, str) else url,
            login=login,
            password=password,
            apikey=apikey,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            clock=clock or SystemClock(),
            proxy=proxy,
            connector=connector,
        )
        ask = self._ask = Asker(self._line)
        self.contacts = Contacts(ask)
        self.groups = Groups(ask)
        self.black_list = BlackList(ask)
        self.templates = Templates(ask)
        self.operator_templates = OperatorTemplates(ask)
        self.senders = Senders(ask)
        self.mailings = Mailings(ask)
        self.short_links = ShortLinks(ask)
        self.rented_numbers = RentedNumbers(ask)
        self.sub_accounts = SubAccounts(ask)
        self.documents = Documents(ask)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._line.aclose()

    # --------------------------------------------------------------------------------------------------- send.php
    async def send(self, phones: str | Iterable[str], text: str = "", **options: Unpack[SendOptions]) -> Sent:
        """Send one text, of any kind, to one or more recipients.

        *phones*: numbers; with a ``+`` they are taken as they are, without it corrected by the gateway. ``G12`` is a
        group; e-mail addresses for ``Kind.MAIL``. *options*: ``SendOptions``.
        Shape: one id for all recipients; a refused number stands in ``phones`` with its status and err.
        Raises: NoMoney, BadDate, Denied, BadNumber, Undeliverable, DuplicateRequest.
        Source: smsc-api.md 2.2, 2.4, 2.7.
        """
        pairs = [*text_pairs(phones, text, options), *option_pairs(options), *_REPORT]
        return await self._send(pairs, options)

    async def send_list(self, records: Iterable[Record], **options: Unpack[SendOptions]) -> Sent:
        """Send several texts in one request and under one id.

        Raises: ValueError before anything is sent, for a text that a record cannot carry; else as ``send``.
        Source: smsc-api.md 2.5.
        """
        return await self._send([*list_pairs(records), *option_pairs(options), *_REPORT], options)

    async def flash_call(self, phone: str, **options: Unpack[SendOptions]) -> Sent:
        """Call *phone* and hang up: the last digits of the number that calls are ``code`` of the answer.

        Raises: as ``send``. Source: smsc-api.md 2.2 (``call``), 2.4.
        """
        options["kind"] = Kind.CALL
        pairs = [("phones", phone), ("mes", "code"), *option_pairs(options), *_REPORT]
        return await self._send(pairs, options)

    async def hlr(self, phones: str | Iterable[str], **options: Unpack[SendOptions]) -> Sent:
        """Ask the operators about numbers; ``status`` then has ``hlr``, and status 1 where a number is reachable.

        Raises: as ``send``. Source: smsc-api.md 2.2, 4.3.
        """
        options["kind"] = Kind.HLR
        return await self.send(phones, **options)

    async def price(self, phones: str | Iterable[str], text: str = "", **options: Unpack[SendOptions]) -> Quote:
        """Ask what ``send`` would cost; sends nothing.

        Raises: as ``send``; TooManyRequests for the sixth identical question within a minute.
        Source: smsc-api.md 2.3, 2.4.
        """
        return await self._price([*text_pairs(phones, text, options), *option_pairs(options)], options)

    async def price_list(self, records: Iterable[Record], **options: Unpack[SendOptions]) -> Quote:
        """Ask what ``send_list`` would cost. Raises: as ``send_list``. Source: smsc-api.md 2.3, 2.5."""
        return await self._price([*list_pairs(records), *option_pairs(options)], options)

    async def _send(self, pairs: list[tuple[str, str]], options: SendOptions) -> Sent:
        fields = await self._ask.object("send", pairs, files=options.get("files", ()))
        sent = reading.read_sent(fields)
        if not sent.id:
            raise OutcomeUnknown("an answer without an id")
        return sent

    async def _price(self, pairs: list[tuple[str, str]], options: SendOptions) -> Quote:
        asked = [*pairs, ("cost", "1"), ("op", "1")]
        fields = await self._ask.object("send", asked, files=options.get("files", ()))
        cost = reading.money_of(fields, "cost")
        if cost is None:
            raise OutcomeUnknown("an answer without a price")
        phones = tuple(reading.read_all(fields.get("phones"), reading.read_phone))
        return Quote(cost=cost, parts=reading.int_of(fields, "cnt"), phones=phones, raw=fields)

    # ------------------------------------------------------------------------------------------------- status.php
    async def status(self, phone: str, message_id: str | int, *, level: int = 2, bot: bool = False) -> Status:
        """Ask what became of one message.

        *level*: how much is told, 0 to 2 (``all``). *bot*: it went through a Telegram bot (uncertain).
        Shape: ``found`` is False for a message nobody knows, which may be so just after sending.
        Raises: TooManyRequests for the sixth question about one message within a minute.
        Source: smsc-api.md 4.1 to 4.3.
        """
        pairs = pairs_of(phone=phone, id=message_id, all=level or None, bot=bot or None)
        return reading.read_status(await self._ask.object("status", pairs))

    async def statuses(self, messages: Iterable[tuple[str, str | int]], *, level: int = 2) -> list[Status]:
        """Ask about many messages, (phone, id) each; answers are in the same order. Ask about 100 at most.

        Raises: as ``status``. Source: smsc-api.md 4.1, 4.4.
        """
        asked = list(messages)
        if not asked:
            return []
        # the trailing comma asks for a list even where there is one message
        phones = "".join(f"{phone}," for phone, _ in asked)
        ids = "".join(f"{message_id}," for _, message_id in asked)
        pairs = pairs_of(phone=phones, id=ids, all=level or None)
        return await self._ask.list("status", pairs, reading.read_status)

    async def delete(self, phone: str, message_id: str | int) -> Done:
        """Delete a message that has not left yet, or the record of one.

        Raises: DeletionFailed. Source: smsc-api.md 4.7.
        """
        return await self._ask.command("status", pairs_of(phone=phone, id=message_id, del_=1))

    # ------------------------------------------------------------------------------------------------ balance.php
    async def balance(self) -> Money:
        """Ask what is on the account.

        Raises: TooManyRequests for the eleventh question within a minute. Source: smsc-api.md 6.1.
        """
        parsed = await self._ask.any("balance", pairs_of(cur=1))
        fields = next(iter(reading.items_of(parsed)), {"balance": parsed})
        money = as_money(fields.get("balance"))
        if money is None:
            raise OutcomeUnknown("an answer without a balance")
        credit = reading.money_of(fields, "credit")
        return Money(balance=money, currency=as_currency(fields.get("currency")), credit=credit, raw=fields)

    # ---------------------------------------------------------------------------------------------------- get.php
    async def inbox(
        self,
        *,
        after_id: str | int | None = None,
        hours: int | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> list[Inbound]:
        """Return inbound messages, oldest first.

        *after_id*: only later ones; keep the last id as the cursor. *hours*: how far to look back, at most 168.
        *to*: only those to this number of ours. *limit*: at most 10000. Source: smsc-api.md 6.2.
        """
        pairs = pairs_of(get_answers=1, after_id=after_id, hour=hours, to_phone=to, cnt=limit)
        return await self._ask.list("get", pairs, reading.read_inbound)

    async def history(
        self,
        *,
        start: date | str | None = None,
        end: date | str | None = None,
        phones: str | Iterable[str] | None = None,
        emails: str | Iterable[str] | None = None,
        limit: int | None = None,
        before: str | int | None = None,
    ) -> list[Status]:
        """Return what was sent, newest first; with *emails*, e-mails.

        *start*, *end*: days, at most half a year apart. *limit*: at most 1000. *before*: the last ``int_id`` of the
        page before. Source: smsc-api.md 6.3.
        """
        pairs = pairs_of(
            get_messages=1, start=_day(start), end=_day(end), phone=None if phones is None else joined(phones),
            email=None if emails is None else joined(emails), format=None if emails is None else 8, cnt=limit,
            prev_id=before,
        )  # fmt: skip
        return await self._ask.list("get", pairs, reading.read_status)

    async def all_history(
        self,
        *,
        start: date | str | None = None,
        end: date | str | None = None,
        phones: str | Iterable[str] | None = None,
    ) -> AsyncIterator[Status]:
        """Yield what was sent, newest first, page by page; ends where a page brings nothing new.

        Source: smsc-api.md 6.3.
        """
        numbers = None if phones is None else joined(phones)
        before, seen = "", set[str]()
        while page := await self.history(start=start, end=end, phones=numbers, limit=_PAGE, before=before or None):
            for item in page:
                yield item
            before = page[-1].int_id
            if not before or before in seen:
                return
            seen.add(before)

    async def statistics(
        self,
        *,
        start: date | str | None = None,
        end: date | str | None = None,
        my_currency: bool = False,
        second_balance: bool = False,
    ) -> list[Spend]:
        """Return messages and money between two days. Source: smsc-api.md 6.4 (``get_stat``)."""
        pairs = pairs_of(
            get_stat=1, start=_day(start), end=_day(end), mycur=my_currency or None, balance2=second_balance or None
        )
        return await self._ask.list("get", pairs, reading.read_spend)

    async def tariffs(self) -> list[Tariff]:
        """Return the prices by country and operator. Source: smsc-api.md 6.4 (``get_price``, uncertain)."""
        return await self._ask.list("get", pairs_of(get_price=1), reading.read_tariff)

    async def sender_names(self) -> list[values.Sender]:
        """Return the sender names by the older method; ``senders.list`` tells more. Source: smsc-api.md 6.4."""
        return await self._ask.list("get", pairs_of(get_senders=1), reading.read_sender)

    async def megafon_statistics(self, account: str) -> list[values.Fields]:
        """Return Megafon's statistics as they come. Source: smsc-api.md 6.4 (``get_mega_accounts``)."""
        return await self._ask.list("get", pairs_of(get_mega_accounts=1, account=account), dict)

    # --------------------------------------------------------------------------------------------------- info.php
    async def operator(self, phone: str) -> Operator:
        """Say whose a number is.

        Raises: OperatorNotFound; TooManyRequests for the fourth identical question or the hundredth of any kind within
        a minute. Source: smsc-api.md 6.5.
        """
        return reading.read_operator(await self._ask.object("info", pairs_of(get_operator=1, phone=phone)))

    async def operators(self, phones: Iterable[str]) -> list[Operator]:
        """Say whose numbers are, in their order (uncertain). Raises: as ``operator``. Source: smsc-api.md 6.5."""
        pairs = pairs_of(get_operator=1, phone=joined(phones))
        return reading.read_all(await self._ask.any("info", pairs), reading.read_operator)

    # ------------------------------------------------------------------------------------------------------ others
    async def wait_call(self, phone: str) -> WaitCall:
        """Return the numbers a person may call to prove that *phone* is theirs; a callback tells of the call.

        Raises: NoMoney, BadNumber, CallLimit. Source: smsc-api.md 8.9, 5.5.
        """
        return reading.read_wait_call(await self._ask.object("wait_call", pairs_of(phone=phone)))

    async def notify(
        self,
        task: str | int,
        *,
        name: str | None = None,
        host: str | None = None,
        info: str | None = None,
        recovered: bool = False,
    ) -> Done:
        """Send the alert that is set up in the cabinet under *task*, with *name*, *host* and *info* for its macros.

        *recovered*: by the template of a recovery. Source: smsc-api.md 8.8 (``ping.php``).
        """
        pairs = pairs_of(id=task, name=name, host=host, info=info, ok=int(recovered))
        return await self._ask.command("ping", pairs)

    async def ported_numbers(self, **parameters: str) -> str:
        """Return the export of ported numbers as it comes; neither parameters nor shape are documented.

        Source: smsc-api.md 1.2 (``get_mnp.php``, uncertain).
        """
        return await self._ask.text("get_mnp", list(parameters.items()))


def _day(day: date | str | None) -> str | None:
    """Return a day as ``dd.mm.yyyy``."""
    if isinstance(day, datetime):
        day = day.date()
    return day.strftime("%d.%m.%Y") if isinstance(day, date) else day

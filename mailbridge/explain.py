"""Why a mail would be accepted or refused, step by step, and by which line of the configuration.

What ``explain`` prints, and what a page can show. It asks the very parts that the door asks and repeats none of their
decisions; it must not store, send or change anything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailbridge.config.model import Config
from mailbridge.config.tree import Path, undotted
from mailbridge.errors import IntakeError
from mailbridge.foresight import Wait, moment
from mailbridge.model import reply as replies
from mailbridge.model.mail import Client, Mail, Recipient
from mailbridge.model.phone import Phone
from mailbridge.model.price import PartPrice
from mailbridge.model.reading import Reading
from mailbridge.model.reply import Reply
from mailbridge.outlook import Outlook
from mailbridge.planner import Planned, Planner
from mailbridge.queue.contract import GatewayState
from mailbridge.rules.engine import Action
from mailbridge.smtp.contract import Doorman
from mailbridge.smtp.site import UNIX_CLIENT, parse_networks

#: where a key of the configuration stands: ``config.yaml:12: rules[0]``
Places = Callable[[Path], str]
#: what quiet hours and digests would do to a message at that time
Waits = Callable[[Mail, Planned, datetime], Awaitable[Wait | None]]
PriceOf = Callable[[Phone], PartPrice | None]
#: what the store says of the messages of a mail; None: it could not be asked
Ahead = Callable[[Mail, Sequence[Planned]], Awaitable[Outlook | None]]
#: the place of the budget that is used up for a recipient's numbers; empty where none is
UsedUp = Callable[[Sequence[Phone], Client], str]


async def nothing_ahead(_mail: Mail, _planned: Sequence[Planned]) -> Outlook | None:
    """Say nothing: there is no store to ask."""
    return None


def nothing_used_up(_phones: Sequence[Phone], _client: Client) -> str:
    """Know of no budget."""
    return ""


async def nobody_waits(_mail: Mail, _planned: Planned, _now: datetime) -> Wait | None:
    """Say nothing of waiting."""
    return None


def no_price(_phone: Phone) -> PartPrice | None:
    """Know no price."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One look at the mail."""

    #: ``client``, ``size``, ``sender``, ``recipient``, ``profile``, ``rule``, ``message``, ``escalation``,
    #: ``quiet hours``, ``digest``, ``gateway``
    stage: str
    #: in one word: ``accepted``, ``refused``, ``fits`` …
    result: str
    #: in words
    because: str
    #: the place in the configuration that decided; empty where none did
    config: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All steps up to the one that decides."""

    #: ``accepted`` or ``refused``
    verdict: str
    #: what the client would be told
    reply: Reply
    steps: tuple[Step, ...]


class _Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Explains mails by one configuration and what the store knows of its gateways."""

    config: Config
    places: Places
    doorman: Doorman
    planner: Planner
    #: empty where the store could not be asked
    gateways: Mapping[str, GatewayState]
    #: whether a message would have to wait now; None: it says nothing of that
    waits: Waits = nobody_waits
    #: what a part to a phone costs, as last heard
    price: PriceOf = no_price
    ahead: Ahead = nothing_ahead
    used_up: UsedUp = nothing_used_up

    async def explain(
        self, mail: Mail, *, size_bytes: int, sender: str, recipients: Sequence[str], client: Client, now: datetime
    ) -> Explanation:
        """Go through what the door, the profiles, the rules and the composing would make of *mail*."""
        steps: list[Step] = []
        try:
            steps.extend(self._door(mail, size_bytes, sender, client, steps))
            understood = [self._recipient(address, client, steps) for address in recipients]
            planned: list[Planned] = []
            for recipient in understood:
                planned += await self._messages(mail, recipient, sender, client, now, steps)
            is_repeated = await self._live(mail, planned, steps)
        except _Refused as refused:
            return Explanation(verdict="refused", reply=refused.reply, steps=tuple(steps))
        if not is_repeated:
            steps.extend(self._gateways(client))
        return Explanation(verdict="accepted", reply=replies.QUEUED, steps=tuple(steps))

    def _door(self, mail: Mail, size_bytes: int, sender: str, client: Client, steps: list[Step]) -> Iterator[Step]:
        steps.append(step := self._client(client))
        if step.result == "refused":
            raise _Refused(replies.CLIENT_NOT_ALLOWED)
        limit = self.config.smtp.max_message_size
        size = self.places(("smtp", "max_message_size"))
        if size_bytes > limit:
            steps.append(Step(stage="size", result="refused", because=f"{size_bytes} bytes of {limit}", config=size))
            raise _Refused(replies.TOO_BIG)
        steps.append(Step(stage="size", result="accepted", because=f"{size_bytes} bytes of {limit}", config=size))
        if mail.received_count > self.config.smtp.max_hops:
            words = f"{mail.received_count} Received fields"
            steps.append(Step(stage="size", result="refused", because=words, config=self.places(("smtp", "max_hops"))))
            raise _Refused(replies.MAIL_LOOP)
        try:
            if sender:
                self.doorman.sender(sender, client)
        except IntakeError as error:
            steps.append(Step(stage="sender", result="refused", because=str(error.reply)))
            raise _Refused(error.reply) from error
        yield Step(stage="sender", result="accepted", because=sender or "the null sender")

    def _client(self, client: Client) -> Step:
        """Return whether any listener lets the client in."""
        path: Path = ("smtp", "listen")
        if client.address == UNIX_CLIENT:
            return Step(stage="client", result="accepted", because="a unix socket's mode decides", config="")
        try:
            address = ipaddress.ip_address(client.address)
        except ValueError:
            return Step(stage="client", result="refused", because=f"{client.address[:60]!r} is no IP address")
        for index, listener in enumerate(self.config.smtp.listen):
            for number, network in enumerate(parse_networks(listener.allow)):
                if address.version == network.version and address in network:
                    words = f"{address} is within {network}, and {listener.address} lets it in"
                    here = self.places((*path, index, "allow", number))
                    return Step(stage="client", result="accepted", because=words, config=here)
        words = f"{address} is in no allow of a listener; add it there to let it in"
        return Step(stage="client", result="refused", because=words, config=self.places((*path, 0, "allow")))

    def _recipient(self, address: str, client: Client, steps: list[Step]) -> Recipient:
        try:
            recipient = self.doorman.recipient(address, client)
        except IntakeError as error:
            words = f"{address}: {error.reply}"
            here = self._place_of(error.reply, client)
            steps.append(Step(stage="recipient", result="refused", because=words, config=here))
            raise _Refused(error.reply) from error
        phones = [one.phone for one in recipient.each()]
        if place := self.used_up(phones, client):
            words = f"{address}: the budget is used up"
            steps.append(Step(stage="limit", result="refused", because=words, config=self.places(undotted(place))))
            raise _Refused(replies.OVER_LIMIT)
        numbers = ", ".join(phones)
        words = f"{address} is {numbers} over {recipient.channel}"
        domain = address.rpartition("@")[2].lower()
        here = self.places(("smtp", "domains", domain))
        steps.append(Step(stage="recipient", result="accepted", because=words, config=here))
        return recipient

    def _place_of(self, refusal: Reply, client: Client) -> str:
        """Return the place in the configuration that refused an address or a sender name; empty where none did."""
        if refusal == replies.COUNTRY_NOT_ALLOWED:
            return self.places(("numbers", "allow"))
        if refusal == replies.UNKNOWN_DOMAIN:
            return self.places(("smtp", "domains"))
        key = {replies.PREFIX_NOT_YOURS: "numbers", replies.SENDER_NOT_YOURS: "senders"}.get(refusal)
        index = self._user_index(client)
        return "" if key is None or index is None else self.places(("users", index, key))

    def _user_index(self, client: Client) -> int | None:
        return next((index for index, user in enumerate(self.config.users) if user.name == client.user), None)

    async def _messages(
        self, mail: Mail, recipient: Recipient, sender: str, client: Client, now: datetime, steps: list[Step]
    ) -> Sequence[Planned]:
        for one in recipient.each():
            for looked in self.planner.trace(mail, one, sender=sender, client=client, now=now):
                words = f"{looked.name}: {looked.because}"
                here = self.places(("rules", looked.index))
                result = "fits" if looked.fits else "does not fit"
                steps.append(Step(stage="rule", result=result, because=words, config=here))
        try:
            [group] = self.planner.plan(mail, [recipient], sender=sender, client=client, now=now)
        except IntakeError as error:
            here = self._place_of(error.reply, client)
            steps.append(Step(stage="message", result="refused", because=str(error), config=here))
            raise _Refused(error.reply) from error
        steps.append(_profile(group[0].reading, self.places(("message", "profile"))))
        for planned in group:
            steps.extend(self._message(mail, planned, now))
            if planned.chain is not None:
                here = self.places(("escalation", planned.chain.name))
                words = f"{planned.message.phone}: {planned.chain}"
                steps.append(Step(stage="escalation", result=planned.chain.name, because=words, config=here))
            if (wait := await self.waits(mail, planned, now)) is not None:
                here = self.places(wait.path)
                steps.append(Step(stage=wait.stage, result=wait.result, because=wait.because, config=here))
        return group

    async def _live(self, mail: Mail, planned: Sequence[Planned], steps: list[Step]) -> bool:
        """Add what the store says of the messages now; tell whether all of them were sent before."""
        outlook = await self.ahead(mail, planned)
        if outlook is None:
            return False
        repeats = [(planned[place].message.phone, original) for place, original in outlook.repeats.items()]
        for phone, original in repeats:
            words = f"{phone}: the same was taken as {original}; it is not sent again"
            steps.append(Step(stage="duplicate", result="suppressed", because=words))
        if (over := outlook.refused) is not None:
            words = f"{over.limit} is full until {moment(over.until)}"
            here = self.places(undotted(over.config))
            steps.append(Step(stage="limit", result="refused", because=words, config=here))
            raise _Refused(replies.OVER_LIMIT)
        for place, over in outlook.waits.items():
            words = f"{planned[place].message.phone}: {over.limit} is full: it waits until {moment(over.until)}"
            steps.append(Step(stage="limit", result="waits", because=words, config=self.places(undotted(over.config))))
        return len(repeats) == len(planned)

    def _message(self, mail: Mail, planned: Planned, now: datetime) -> Iterator[Step]:
        message = planned.message
        price = self.price(message.phone)
        cost = f", {price.of(message.parts)}" if price is not None else ""
        said = f"{message.phone}: {_parts(message.parts)}, {message.alphabet.value}{cost}: {_line(message.text)}"
        by = f" by rule {message.rule}" if message.rule is not None else ""
        yield Step(stage="message", result=planned.decision.action.value, because=f"{said}{by}")
        ways = self.planner.candidates(mail, planned, now)
        for way in ways if len(ways) > 1 and planned.decision.action is not Action.DROP else ():
            cost = f", {price.of(way.parts)}" if price is not None else ""
            words = f"{way.name}: {_parts(way.parts)}, {way.alphabet.value}{cost}: {_line(way.text)}"
            yield Step(stage="message", result="could be", because=words)
        for note in message.notes:
            yield Step(stage="message", result="note", because=note)

    def _gateways(self, client: Client) -> Iterator[Step]:
        index = self._user_index(client)
        own = None if index is None else self.config.users[index].gateways
        if own is not None:
            words = f"{client.user} may use {', '.join(own)}"
            here = self.places(("users", index or 0, "gateways"))
            yield Step(stage="gateway", result="limited", because=words, config=here)
        for name in self.config.gateways if own is None else own:
            state = self.gateways.get(name)
            here = self.places(("gateways", name))
            if state is not None and state.suspended:
                words = f"{name} takes nothing now, code {state.code}: {state.reason}; messages wait"
                yield Step(stage="gateway", result="suspended", because=words, config=here)
            else:
                yield Step(stage="gateway", result="up", because=f"{name} takes messages", config=here)


def _profile(reading: Reading, here: str) -> Step:
    found = [
        f"{name} {value}"
        for name in ("host", "service", "state", "severity", "event", "time")
        if (value := getattr(reading, name))
    ]
    words = f"{reading.profile}: {', '.join(found)}" if reading.short else "no profile understood it: sent as it is"
    return Step(stage="profile", result=reading.profile, because=words, config=here)


def _parts(count: int) -> str:
    return f"{count} part{'s' if count != 1 else ''}"


def _line(text: str) -> str:
    return " / ".join(text.splitlines())

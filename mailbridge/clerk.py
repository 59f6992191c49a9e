"""What a person or a program asks of the bridge beside sending mail: send a text, foretell, explain, who is on duty.

The one piece behind the verbs, the API and the desk. It asks the parts that the door asks, by one configuration and
the store; ``admin`` is what needs a store alone. It must not know who asks, and waits for no gateway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from mailbridge.admin import money_json, time_json
from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.config.tree import Path, dotted
from mailbridge.errors import AskedOtherwise, Rejected, StoreError
from mailbridge.explain import Explainer, Explanation, Places
from mailbridge.foresight import Wait, foretell
from mailbridge.front import (
    build_doorman,
    build_gathers,
    build_intake_settings,
    build_planner,
    prepare_text,
    users_apart,
)
from mailbridge.gateway.contract import Price
from mailbridge.intake.address import quote_local
from mailbridge.intake.compose import Candidate
from mailbridge.intake.parse import parse_mail
from mailbridge.limiter import Known, read_limits, read_uses
from mailbridge.model import reply as replies
from mailbridge.model.ids import new_mail_id
from mailbridge.model.mail import Client, Mail, ReceivedMail
from mailbridge.model.phone import Phone
from mailbridge.model.reading import UNREAD
from mailbridge.outlook import Outlook, look_ahead
from mailbridge.people.directory import Directory
from mailbridge.people.rota import Calendar
from mailbridge.planner import Planned
from mailbridge.pressure import check_room
from mailbridge.prices import find_price, read_prices
from mailbridge.queue.browsing import Asked
from mailbridge.queue.contract import Json, Store, StoredMessage
from mailbridge.reception import for_user, prepare

#: how long a request is known by its key
ASKED_FOR = timedelta(days=1)


def no_places(key: Path) -> str:
    """Say where a key stands that was read from no file."""
    return dotted(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A text to be sent, without a mail around it."""

    #: phones in any spelling, names, or whole addresses
    to: tuple[str, ...]
    text: str
    sender: str | None = None
    #: as the header fields ``X-SMS-…`` have it
    translit: str | None = None
    time: str | None = None
    max_parts: int | None = None
    #: who repeats this key means this order
    key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells two orders apart, whatever their key."""
        words = (*self.to, "", self.text, self.sender, self.translit, self.time, self.max_parts)
        return hashlib.sha256(repr(words).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what is asked for, as a mail would say it."""
        asked = {
            "X-SMS-Text": self.text, "X-SMS-Sender": self.sender, "X-SMS-Translit": self.translit,
            "X-SMS-Time": self.time, "X-SMS-Max-Parts": None if self.max_parts is None else str(self.max_parts),
        }  # fmt: skip
        return tuple((name, value) for name, value in asked.items() if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """A message as it would be, and the ways there are to write it."""

    planned: Planned
    candidates: tuple[Candidate, ...]
    #: what quiet hours and digests would do to it now; None: it would go out by itself
    wait: Wait | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What became of an order."""

    messages: tuple[StoredMessage, ...]
    #: it had been carried out before
    is_repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """Serves by one configuration; *calendars* are those of its rotas."""

    config: Config
    clock: Clock
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    places: Places = no_places
    #: rung when something was put into the queue
    wake: Callable[[], None] = lambda: None

    # -- sending
    async def send(self, store: Store, order: Order, *, by: str) -> Ordered:
        """Queue *order*, as ``by`` asks; on disk when this returns.

        Raises: Rejected (a recipient or an option), TryLater (too much waits), AskedOtherwise, StoreError.
        """
        now, client = self.clock.now(), Client(address="local", user=by)
        doorman = build_doorman(self.config, calendars=self.calendars, clock=self.clock)
        recipients = [doorman.recipient(self.address(word), client) for word in order.to]
        mail_id = new_mail_id(now.timestamp())
        if order.key is not None:
            asked = Asked(
                key=f"{by}:{order.key}", fingerprint=order.fingerprint, mail_id=mail_id, until=now + ASKED_FOR
            )
            kept = await store.ask_once(asked, now=now)
            if kept.fingerprint != asked.fingerprint:
                raise AskedOtherwise
            # one that died between asking and keeping left no messages: they are made now, under the same id
            if rows := await store.get_messages(kept.mail_id):
                return Ordered(messages=tuple(rows), is_repeated=True)
            mail_id = kept.mail_id
        new = prepare_text(
            self.config, order.headers(), recipients, text=order.text, client=client, now=now, id_=mail_id
        )
        await check_room(store, coming=len(new.messages), limit=self.config.queue.max_waiting)
        try:
            await store.put(new)
        except StoreError:
            # the same request at the same moment was first
            if not (rows := await store.get_messages(new.id)):
                raise
            return Ordered(messages=tuple(rows), is_repeated=True)
        self.wake()
        return Ordered(messages=tuple(await store.get_messages(new.id)))

    def address(self, word: str) -> str:
        """Return what a person writes for a recipient as an address."""
        domain = next((name for name, channel in self.config.smtp.domains.items() if channel == "sms"), "")
        return word if "@" in word else f"{quote_local(word)}@{domain}"

    def phone(self, text: str) -> Phone:
        """Read a number in any spelling, or a name that means one. Raises: Rejected."""
        doorman = build_doorman(self.config, calendars=self.calendars, clock=self.clock)
        return doorman.recipient(self.address(text), Client(address="local")).phone

    # -- foretelling
    def preview(
        self, content: bytes, recipients: Sequence[str], *, sender: str | None, client: Client
    ) -> tuple[Foretold, ...]:
        """Say what the mail *content* would become. Raises: IntakeError with the reply its client would get."""
        mail, now = parse_mail(content), self.clock.now()
        doorman = build_doorman(self.config, calendars=self.calendars, clock=self.clock)
        planner = build_planner(self.config, doorman)
        understood = [doorman.recipient(address, client) for address in recipients]
        from_ = mail.from_address if sender is None else sender
        groups = planner.plan(mail, understood, sender=from_, client=client, now=now)
        gathers = build_gathers(self.config)
        return tuple(
            Foretold(
                planned=one, candidates=planner.candidates(mail, one, now),
                wait=None if gathers is None else foretell(self.config, one, gathers(mail, one, now), None),
            )
            for group in groups
            for one in group
        )  # fmt: skip

    def preview_order(self, order: Order) -> tuple[Foretold, ...]:
        """Say what *order* would become. Raises: Rejected."""
        client = Client(address="local")
        doorman = build_doorman(self.config, calendars=self.calendars, clock=self.clock)
        recipients = [doorman.recipient(self.address(word), client) for word in order.to]
        new = prepare_text(
            self.config, order.headers(), recipients, text=order.text, client=client, now=self.clock.now()
        )
        each = [one for recipient in recipients for one in recipient.each()]
        return tuple(
            Foretold(planned=Planned(message=message.message, recipient=recipient, reading=UNREAD), candidates=())
            for message, recipient in zip(new.messages, each, strict=True)
        )

    async def explain(
        self, store: Store | None, content: bytes, recipients: Sequence[str], *, sender: str | None, client: Client
    ) -> Explanation:
        """Say step by step what would become of the mail *content*; *store* tells of the gateways.

        Raises: StoreError.
        """
        mail = parse_mail(content)
        envelope = mail.from_address if sender is None else sender
        doorman = build_doorman(self.config, calendars=self.calendars, clock=self.clock)
        prices = {} if store is None else await read_prices(store)
        gathers, apart = build_gathers(self.config), users_apart(self.config)

        async def waits(mail: Mail, planned: Planned, now: datetime) -> Wait | None:
            if gathers is None:
                return None
            gather = for_user(gathers(mail, planned, now), client.user, apart)
            seen = None if store is None or gather is None else await store.foresee(gather, now=now)
            return foretell(self.config, planned, gather, seen)

        now, limits = self.clock.now(), read_limits(self.config)
        settings = build_intake_settings(self.config)
        known = Known(limits, self.clock)
        if store is not None:
            known.learn_budgets(await read_uses(store, limits.throttle, now))

        async def ahead(mail: Mail, planned: Sequence[Planned]) -> Outlook | None:
            if store is None:
                return None
            received = ReceivedMail(
                id=new_mail_id(now.timestamp()), sender=envelope, recipients=tuple(one.recipient for one in planned),
                content=content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), client=client, received_at=now,
            )  # fmt: skip
            new = prepare(received, mail, planned, settings=settings, reportable=False)
            return await look_ahead(store, new, limits.throttle, now=now)

        explainer = Explainer(
            config=self.config, places=self.places, doorman=doorman, planner=build_planner(self.config, doorman),
            gateways={} if store is None else await store.gateway_states(), waits=waits,
            price=lambda phone: find_price(prices, tuple(self.config.gateways), phone), ahead=ahead,
            used_up=known.used_up_for,
        )  # fmt: skip
        return await explainer.explain(
            mail, size_bytes=len(content), sender=envelope, recipients=recipients, client=client, now=now,
        )  # fmt: skip

    # -- duty
    def oncall(self, names: Sequence[str], *, days: int) -> list[dict[str, Json]]:
        """Return who is on duty now and in the next *days*, for the rotas and aliases *names*; all where none is named.

        Raises: Rejected for a name that is neither.
        """
        directory, now = Directory(self.config, self.calendars), self.clock.now()
        return [_roster(directory, rota, now=now, days=days) for rota in rotas_called(directory, names)]


def rotas_called(directory: Directory, names: Sequence[str]) -> list[str]:
    """Return the rotas that *names*, rotas or aliases of them, mean; all where none is named. Raises: Rejected."""
    found = []
    for name in names or tuple(directory.rotas):
        rota = name if name in directory.rotas else directory.rota_of(name)
        if rota is None:
            known = ", ".join(directory.rotas) or "none"
            raise Rejected(replies.NOT_A_PHONE, f"no rota and no alias of one is called {name[:60]}; there are {known}")
        found.append(rota)
    return list(dict.fromkeys(found))


# ------------------------------------------------------------------------------------------------- shapes
def _roster(directory: Directory, rota: str, *, now: datetime, days: int) -> dict[str, Json]:
    turns, aliases = directory.rotas[rota], directory.aliases_of(rota)
    who = turns.on_duty(now)
    return {
        "rota": rota,
        "aliases": list(aliases),
        "now": list(who),
        "phones": list(directory.numbers(who, now)),
        "shifts": [
            {"from": time_json(shift.begins_at), "to": time_json(shift.ends_at), "who": list(shift.who)}
            for shift in turns.shifts(now, now + timedelta(days=days))
        ],
    }


def foretold_json(foretold: Foretold, price: Price | None = None) -> dict[str, Json]:
    """Return what would be sent, as docs/reference/json.md has it."""
    planned, message = foretold.planned, foretold.planned.message
    ways: list[dict[str, Json]] = [
        {"name": c.name, "text": c.text, "alphabet": c.alphabet.value, "parts": c.parts} for c in foretold.candidates
    ]
    shape: dict[str, Json] = {
        "phone": message.phone, "channel": message.channel, "sender": message.sender, "text": message.text,
        "translit": message.translit, "alphabet": message.alphabet.value, "parts": message.parts,
        "rule": message.rule, "profile": message.profile, "action": planned.decision.action.value,
        "recipient": planned.recipient.address, "notes": list(message.notes), "flash": message.flash,
        "time": message.time, "valid": message.valid, "candidates": [*ways],
        "waits": None if foretold.wait is None else f"{foretold.wait.stage}: {foretold.wait.because}",
    }  # fmt: skip
    if price is not None:
        shape["price"], shape["currency"] = money_json(price.cost), price.currency
        for way, candidate in zip(ways, foretold.candidates, strict=True):
            way["price"] = money_json(cost_of(candidate, foretold, price))
    return shape


def cost_of(candidate: Candidate, foretold: Foretold, price: Price) -> Decimal:
    """Return what *candidate* would cost uncut: the gateway's price is for each part (smsc-api.md 2.4)."""
    return price.cost / foretold.planned.message.parts * candidate.parts


def explanation_json(explained: Explanation) -> dict[str, Json]:
    """Return why a mail is taken or not, as docs/reference/json.md has it."""
    return {
        "verdict": explained.verdict,
        "reply": str(explained.reply),
        "steps": [
            {"stage": s.stage, "result": s.result, "because": s.because, "config": s.config} for s in explained.steps
        ],
    }

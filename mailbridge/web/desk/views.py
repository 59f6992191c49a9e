"""The desk's pages: each asks the office and returns a page."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web

from mailbridge import __version__, plots
from mailbridge.admin import Action, escalation_json, find_all, may, message_json, money_json, show
from mailbridge.clerk import Clerk, Order, explanation_json, foretold_json
from mailbridge.config.show import effective_yaml
from mailbridge.errors import IntakeError
from mailbridge.gateway.contract import Price
from mailbridge.listing import csv_lines, detail_words, parse_moment
from mailbridge.model.ids import is_message_id
from mailbridge.model.mail import Client
from mailbridge.model.outcome import SmsError
from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from mailbridge.queue.escalations import ANSWERABLE
from mailbridge.refusals import line_to_allow
from mailbridge.stats import Bucket, percentile_s
from mailbridge.web.desk.render import SECURITY, local_time
from mailbridge.web.desk.visit import Visit, Wrong, seen_other
from mailbridge.web.stream import stream

log = structlog.get_logger()

_PAGE = 50
_MOST_CSV = 10_000
_FILTERS = ("q", "phone", "sender", "state", "since")
_GROUPS: Mapping[str, frozenset[State]] = {
    "delivered": frozenset({State.DELIVERED}),
    "sent": frozenset({State.SENT}),
    "waiting": frozenset({State.QUEUED, State.SENDING, State.UNKNOWN, State.HELD}),
    "troubled": frozenset({State.FAILED, State.UNDELIVERED, State.EXPIRED}),
    "other": frozenset({State.CANCELLED, State.SUPPRESSED}),
}
_BALANCE_S = 4.0


# ------------------------------------------------------------------------------------------------ messages
def _asked(visit: Visit) -> dict[str, str]:
    query = visit.request.query
    return {name: query.get(name, "")[:256] for name in _FILTERS}


def _filter(visit: Visit, asked: Mapping[str, str], limit: int) -> Filter:
    cursor = visit.request.query.get("cursor")
    if cursor is not None and not is_message_id(cursor):
        raise Wrong(400, "There is nothing here.")
    try:
        return Filter(
            states=frozenset({State(asked["state"])}) if asked["state"] else None,
            phone=visit.office.clerk.phone(asked["phone"]) if asked["phone"] else None,
            sender=asked["sender"] or None,
            since=parse_moment(asked["since"], visit.office.clock.now()) if asked["since"] else None,
            text=asked["q"] or None,
            limit=limit,
            after_id=cursor,
        )
    except IntakeError as error:
        raise Wrong(400, "This cannot be done", error.reply.text) from error
    except ValueError as error:
        raise Wrong(400, "This cannot be done", str(error)) from error


async def messages(visit: Visit) -> web.Response:
    """List messages, newest first, with search."""
    asked = _asked(visit)
    page = await visit.office.find(_filter(visit, asked, _PAGE))
    counts = await visit.office.counts()
    query = urlencode({name: value for name, value in asked.items() if value})
    return visit.page(
        "messages.html", "Messages", rows=[message_json(row) for row in page.messages], next=page.after_id, asked=asked,
        states=[state.value for state in State],
        counts=[(state.value, counts[state]) for state in State if counts.get(state)],
        query=query, limit=_PAGE, is_first="cursor" not in visit.request.query,
    )  # fmt: skip


async def messages_csv(visit: Visit) -> web.Response:
    """Return the messages found as CSV, the newest ten thousand at most."""
    rows = await find_all(visit.office.store, _filter(visit, _asked(visit), _MOST_CSV))
    headers = {**SECURITY, "Content-Disposition": 'attachment; filename="messages.csv"'}
    body = "".join(csv_lines(rows)).encode("utf-8", "replace")
    return web.Response(body=body, content_type="text/csv", charset="utf-8", headers=headers)


_FACTS = (
    ("Sender", "sender"), ("Parts", "parts"), ("Alphabet", "alphabet"), ("Subject", "subject"), ("From", "mail_from"),
    ("Gateway", "gateway"), ("Gateway ids", "gateway_ids"), ("Price", "price"), ("Rule", "rule"),
    ("Profile", "profile"), ("Tries", "attempts"), ("Next attempt", "next_attempt_at"), ("Expires", "expires_at"),
)  # fmt: skip


async def message(visit: Visit, note: str = "") -> web.Response:
    """Show one message: its text, what decided, its timeline, and the original mail."""
    id_ = visit.request.match_info["id"]
    # a mail's id shows its first message
    shapes: list[dict[str, Any]] = list(await show(visit.office.store, id_))
    one = shapes[0]
    siblings: list[dict[str, Any]] = [
        message_json(row) for row in await visit.office.store.get_messages(one["mail"]) if row.id != one["id"]
    ]
    for line in one["history"]:
        line["words"] = ", ".join(detail_words(line["detail"]))
    mail = await visit.office.store.get_mail(one["mail"])
    original = mail.original.decode("utf-8", "replace").replace("\r\n", "\n") if mail is not None else ""
    actions = [action.value for action in may(State(one["state"]))] if visit.may("operate") else []
    asks = [escalation_json(ask) for ask in await visit.office.asks(one["mail"])]
    if visit.may("operate") and any(ask["status"] in ANSWERABLE for ask in asks):
        actions.append("acknowledge")
    return visit.page(
        "message.html", "Message", subtitle=one["id"], one=one, others=siblings, original=original, actions=actions,
        asks=asks, facts=_facts(one, visit.office.clerk), note=note, note_class="good",
    )  # fmt: skip


def _facts(one: Mapping[str, Any], clerk: Clerk) -> list[tuple[str, str]]:
    out = []
    names = [rule.name for rule in clerk.config.rules]
    for name, key in _FACTS:
        value = one.get(key)
        if key.endswith("_at"):
            value = local_time(value)
        elif key == "price" and value:
            value = f"{value} {one['currency'] or ''}".strip()
        elif key == "rule" and value in names:
            value = f"{value} ({clerk.places(('rules', names.index(value)))})"
        elif key == "profile" and value:
            value = f"{value} ({clerk.places(('message', 'profile'))})"
        elif isinstance(value, list):
            value = ", ".join(value)
        if value not in {None, ""}:
            out.append((name, str(value)))
    return out


async def act(visit: Visit) -> web.Response:
    """Carry out what a button of a message says."""
    id_, word = visit.request.match_info["id"], visit.request.match_info["action"]
    if word not in set(Action):
        raise Wrong(404, "There is nothing here.")
    rows = await visit.office.act(id_, Action(word), by=visit.by)
    log.info("desk action", action=word, id=id_[:40], by=visit.by, messages=len(rows))
    return seen_other(f"/messages/{quote(rows[0].id)}")


async def acknowledge(visit: Visit) -> web.Response:
    """Answer the alert that a message is about."""
    id_ = visit.request.match_info["id"]
    await visit.office.acknowledge(id_, by=visit.by)
    log.info("desk action", action="acknowledge", id=id_[:40], by=visit.by)
    return seen_other(f"/messages/{quote(id_)}")


# ------------------------------------------------------------------------------------------------- sending
def _form(visit: Visit) -> dict[str, str]:
    fields = {name: visit.text(name) for name in ("to", "sender", "translit", "max_parts")}
    return {**fields, "text": visit.text("text", 10_000).replace("\r\n", "\n")}


def _order(asked: Mapping[str, str], key: str | None = None) -> Order:
    to = tuple(word.strip() for word in asked["to"].replace(",", "\n").splitlines() if word.strip())
    most = asked["max_parts"]
    if not to or len(to) > 100 or not asked["text"].strip() or (most and not (most.isdigit() and 1 <= int(most) <= 20)):
        raise Wrong(400, "This cannot be done")
    return Order(
        to=to, text=asked["text"], sender=asked["sender"] or None, translit=asked["translit"] or None,
        max_parts=int(most) if most else None, key=key,
    )  # fmt: skip


async def compose(visit: Visit) -> web.Response:
    """Show the form for a text."""
    return _composing(visit, dict.fromkeys(("to", "text", "sender", "translit", "max_parts"), ""))


def _composing(visit: Visit, asked: Mapping[str, str], *, status: int = 200, **more: Any) -> web.Response:
    values = {"rows": [], "counted": None, "count_note": "", **more}
    # a form sent twice is one order
    return visit.page("send.html", "Send", status=status, asked=asked, key=secrets.token_hex(16), **values)


async def send(visit: Visit) -> web.Response:
    """Queue a text."""
    asked = _form(visit)
    try:
        ordered = await visit.office.clerk.send(
            visit.office.store, _order(asked, visit.text("key", 64) or None), by=visit.by
        )
    except IntakeError as error:
        return _composing(visit, asked, status=422, note=str(error.reply), note_class="bad")
    rows = [message_json(row) for row in ordered.messages]
    log.info("desk action", action="send", id=ordered.messages[0].mail_id, by=visit.by, messages=len(rows))
    return _composing(visit, dict.fromkeys(asked, ""), rows=rows, note=visit.say("Queued"), note_class="good")


async def count(visit: Visit) -> web.Response:
    """Say how many parts a text would be, and what each would cost."""
    asked = _form(visit)
    counted, words = None, ""
    try:
        first = visit.office.clerk.preview_order(_order(asked))[0]
        price = await visit.office.price(first.planned.message)
        counted = {
            **foretold_json(first), "characters": len(first.planned.message.text), "text": first.planned.message.text,
            "price": money_json(price.cost) if isinstance(price, Price) else None,
            "currency": price.currency if isinstance(price, Price) else None,
        }  # fmt: skip
    except IntakeError as error:
        words = str(error.reply)
    except Wrong:
        words = ""
    if visit.text("page"):
        return _composing(visit, asked, counted=counted, count_note=words)
    return visit.part("count.html", counted=counted, count_note=words)


# -------------------------------------------------------------------------------------------------- trying
async def tester(visit: Visit) -> web.Response:
    """Show the form for a mail to try."""
    domain = next(iter(visit.office.config.smtp.domains), "sms.local")
    asked = {"mail": "", "to": f"89991234567@{domain}", "from_": "", "client": "127.0.0.1"}
    return visit.page("try.html", "Try", asked=asked, explained=None, foretold=[])


async def try_mail(visit: Visit) -> web.Response:
    """Say what would become of a mail."""
    office = visit.office
    asked = {
        "mail": visit.text("mail", 200_000), "to": visit.text("to"), "from_": visit.text("from"),
        "client": visit.text("client"),
    }  # fmt: skip
    content = asked["mail"].replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    sender, client = asked["from_"] or None, Client(address=asked["client"] or "127.0.0.1")
    recipients = [word for word in asked["to"].replace(",", " ").split() if word]
    explained = await office.clerk.explain(office.store, content, recipients, sender=sender, client=client)
    foretold: Sequence[Any] = ()
    if explained.verdict == "accepted":
        found = await asyncio.to_thread(office.clerk.preview, content, recipients, sender=sender, client=client)
        foretold = [foretold_json(one) for one in found]
    return visit.page("try.html", "Try", asked=asked, explained=explanation_json(explained), foretold=foretold)


# ------------------------------------------------------------------------------------------------ gateways
async def gateways(visit: Visit) -> web.Response:
    """Show each gateway's state, balance and spend, and for how many days the balance lasts."""
    office = visit.office
    shapes: list[dict[str, Any]] = list(await office.gateways(shows_callback=visit.may("admin")))
    buckets = await office.sums.buckets(by="day", since=office.clock.now() - timedelta(days=7))
    for shape in shapes:
        shape["balance"], shape["currency"], shape["days_left"] = None, None, None
        try:
            async with asyncio.timeout(_BALANCE_S):
                answer = await office.balance(shape["name"])
        except TimeoutError:
            continue
        if not isinstance(answer, SmsError):
            shape |= {"balance": answer["balance"], "currency": answer["currency"]}
            shape["days_left"] = days_left(str(answer["balance"]), str(answer["currency"]), buckets)
    return visit.page("gateways.html", "Gateways", gateways=shapes, may_operate=visit.may("operate"))


def days_left(balance: str, currency: str, buckets: Sequence[Bucket]) -> int | None:
    """Return for how many days *balance* lasts at the pace of the days in *buckets*; None where nothing is spent."""
    spent = sum((bucket.spend.get(currency, Decimal(0)) for bucket in buckets), Decimal(0))
    try:
        return int(Decimal(balance) / (spent / len(buckets))) if spent > 0 else None
    except InvalidOperation:
        return None


async def command(visit: Visit) -> web.Response:
    """Probe, suspend or resume a gateway."""
    name, word = visit.request.match_info["name"], visit.request.match_info["command"]
    if word not in {"probe", "suspend", "resume"}:
        raise Wrong(404, "There is nothing here.")
    await visit.office.command(name, word)
    log.info("desk action", action=word, gateway=name, by=visit.by)
    return seen_other("/gateways")


# --------------------------------------------------------------------------------------------------- plots
async def drawn(visit: Visit) -> web.Response:
    """Show messages, parts, latencies and spend over time."""
    days = {"7": 7, "30": 30}.get(visit.request.query.get("days", ""), 1)
    by = "hour" if days <= 7 else "day"
    since = visit.office.clock.now() - timedelta(days=days)
    buckets = await visit.office.sums.buckets(by="hour" if by == "hour" else "day", since=since)
    at = [
        f"{bucket.at.astimezone():{'%H:%M' if days == 1 else '%d.%m %H:%M' if by == 'hour' else '%d.%m'}}"
        for bucket in buckets
    ]
    table = [
        {"at": local_time(bucket.at), "messages": sum(bucket.messages.values()), "parts": sum(bucket.parts.values()),
         "spend": ", ".join(f"{money_json(amount)} {currency}".strip() for currency, amount in bucket.spend.items())}
        for bucket in buckets
    ]  # fmt: skip
    money = await visit.office.sums.buckets(by="day", since=since)
    return visit.page("plots.html", "Plots", plots=_plots(visit, buckets, money, at, by), chosen=days, table=table)


def _plots(
    visit: Visit, buckets: Sequence[Bucket], money: Sequence[Bucket], at: Sequence[str], by: str
) -> list[dict[str, Any]]:
    def stacked(counters: Sequence[Counter[State]]) -> list[plots.Layer]:
        return [
            plots.Layer(name, visit.say(name), [sum(one[state] for state in states) for one in counters])
            for name, states in _GROUPS.items()
        ]

    def latency(classes: Sequence[Counter[int]]) -> list[plots.Layer]:
        lines = (("half", "half of them within", 50), ("most", "nearly all within", 95))
        return [
            plots.Layer(name, visit.say(label), [percentile_s(one, p) for one in classes]) for name, label, p in lines
        ]

    currencies = sorted({currency for bucket in money for currency in bucket.spend})
    spend = [
        plots.Layer("spend", currency or "?", [float(bucket.spend.get(currency, 0)) for bucket in money])
        # of an account there is one
        for currency in currencies[:1]
    ]
    days = [bucket.at.astimezone().strftime("%d.%m") for bucket in money]
    wanted: list[tuple[str, Any, Sequence[str], list[plots.Layer], str]] = [
        (f"Messages by {by}", plots.columns, at, stacked([bucket.messages for bucket in buckets]), ",.0f"),
        (f"Parts by {by}", plots.columns, at, stacked([bucket.parts for bucket in buckets]), ",.0f"),
        ("Seconds to the gateway", plots.curves, at, latency([bucket.handed_over for bucket in buckets]), ",.3g"),
        ("Seconds to the handset", plots.curves, at, latency([bucket.arrived for bucket in buckets]), ",.3g"),
        ("Spent by day", plots.columns, days, spend, ",.2f"),
    ]
    return [
        {"title": title, "svg": draw(visit.say(title), along, layers, form=form),
         "legend": [(layer.name, layer.label) for layer in layers]}
        for title, draw, along, layers, form in wanted
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------- the other pages
async def refused(visit: Visit) -> web.Response:
    """Show what the door refused, and what would allow it."""
    found = [(one, line_to_allow(one)) for one in visit.office.refusals()]
    return visit.page("refused.html", "Refused", refusals=found, has_workers=bool(visit.office.config.smtp.workers))


async def oncall(visit: Visit) -> web.Response:
    """Show who is on duty."""
    return visit.page("oncall.html", "On call", rosters=visit.office.clerk.oncall((), days=28))


async def settings(visit: Visit) -> web.Response:
    """Show the configuration in force, with its secrets hidden."""
    text = effective_yaml(visit.office.config)
    return visit.page("settings.html", "Settings", text=text, version=__version__)


async def feed(visit: Visit) -> web.StreamResponse:
    """Tell the page that something has changed; what, it asks for itself."""
    return await stream(
        visit.request, visit.office.feed, lambda event: f"data: {event.n}\n\n".encode(), headers=SECURITY
    )

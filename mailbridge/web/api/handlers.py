"""What each operation does: reads the call, asks the office, returns the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import structlog
from aiohttp import web

from mailbridge.admin import Action, event_json, gateway_json, message_json, show, time_json
from mailbridge.clerk import Foretold, Order, explanation_json, foretold_json
from mailbridge.errors import IntakeError, Rejected
from mailbridge.listing import parse_moment
from mailbridge.model.ids import is_message_id
from mailbridge.model.mail import Client
from mailbridge.model.outcome import SmsError
from mailbridge.queue.browsing import Event
from mailbridge.queue.contract import Filter, Json
from mailbridge.stats import LONGEST, bucket_json, start_of
from mailbridge.web.api import models
from mailbridge.web.api.operations import STREAM, Answer, Call, Operation
from mailbridge.web.api.problem import Refused
from mailbridge.web.stream import stream

log = structlog.get_logger()

_MAX_KEY_CHARS = 255


# ------------------------------------------------------------------------------------------------ messages
async def list_messages(call: Call) -> Answer:
    """List messages; a page may be short where a search would take too long."""
    query: models.ListQuery = call.query
    if query.cursor is not None and not is_message_id(query.cursor):
        raise Refused(400, "the cursor is none of ours")
    wanted = Filter(
        states=None if query.state is None else frozenset(query.state),
        phone=None if query.phone is None else _phone(call, query.phone),
        sender=query.sender,
        since=None if query.since is None else _moment(call, "since", query.since),
        until=None if query.until is None else _moment(call, "until", query.until),
        text=query.q,
        limit=query.limit,
        after_id=query.cursor,
    )
    page = await call.office.find(wanted)
    return Answer(value={"items": [message_json(row) for row in page.messages], "next": page.after_id})


def _phone(call: Call, text: str) -> str:
    try:
        return call.office.clerk.phone(text)
    except IntakeError as error:
        raise Refused(400, f"phone: {error.reply.text}", reply=str(error.reply)) from error


def _moment(call: Call, name: str, text: str) -> Any:
    try:
        return parse_moment(text, call.office.clock.now())
    except ValueError as error:
        raise Refused(400, f"{name}: {error}") from error


async def get_message(call: Call) -> Answer:
    """Show one message as an object, the several of a mail as a list."""
    shapes = await show(call.office.store, call.request.match_info["id"])
    return Answer(value=shapes[0] if len(shapes) == 1 else shapes)


async def send(call: Call) -> Answer:
    """Queue a text; who repeats it with its key gets the same messages again."""
    order: models.NewOrder = call.body
    key = call.request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= _MAX_KEY_CHARS and key.isprintable()):
        raise Refused(400, f"an Idempotency-Key has 1 to {_MAX_KEY_CHARS} printable characters")
    ordered = await call.office.clerk.send(call.office.store, _order(order, key), by=call.by)
    for row in () if ordered.is_repeated else ordered.messages:
        sms = row.message
        log.info("queued", id=row.id, phone=sms.phone, parts=sms.parts, alphabet=sms.alphabet.value, because=call.by)
    headers = {"Idempotent-Replayed": "true"} if ordered.is_repeated else {}
    return Answer(value=[message_json(row) for row in ordered.messages], status=202, headers=headers)


def _order(order: models.NewOrder, key: str | None = None) -> Order:
    translit = None if order.translit is None else str(order.translit)
    return Order(
        to=tuple(order.to), text=order.text, sender=order.sender, translit=translit, time=order.time,
        max_parts=order.max_parts, key=key,
    )  # fmt: skip


def _act(action: Action) -> Any:
    async def handler(call: Call) -> Answer:
        id_ = call.request.match_info["id"]
        rows = await call.office.act(id_, action, by=call.by)
        log.info("api action", action=action.value, id=id_[:40], by=call.by, messages=len(rows))
        return Answer(value=[message_json(row) for row in rows])

    return handler


# ---------------------------------------------------------------------------------------------- foretelling
async def preview(call: Call) -> Answer:
    """Say what a mail or a text would become."""
    if isinstance(call.body, models.NewOrder):
        return _previewed(call.office.clerk.preview_order(_order(call.body)))
    content, question = _question(call)
    client = Client(address=question.client, user=question.user)
    # a long mail takes its time
    foretold = await asyncio.to_thread(
        call.office.clerk.preview, content, question.to, sender=question.from_, client=client
    )
    return _previewed(foretold)


def _previewed(foretold: Sequence[Foretold]) -> Answer:
    return Answer(value={"messages": [foretold_json(one) for one in foretold]})


async def explain(call: Call) -> Answer:
    """Say why a mail would be accepted or refused."""
    content, question = _question(call)
    client = Client(address=question.client, user=question.user)
    explained = await call.office.clerk.explain(
        call.office.store, content, question.to, sender=question.from_, client=client
    )
    return Answer(value=explanation_json(explained))


def _question(call: Call) -> tuple[bytes, models.MailQuery]:
    if call.mail is not None:
        return call.mail, call.query
    question: models.MailQuestion = call.body
    return question.mail.encode("utf-8", "surrogateescape"), question


# ------------------------------------------------------------------------------------- gateways, sums, duty
async def list_gateways(call: Call) -> Answer:
    """Show each gateway; the path of its callback page is a secret of who may operate."""
    return Answer(value=await call.office.gateways(shows_callback="operate" in call.token.scopes))


def _command(command: str) -> Any:
    async def handler(call: Call) -> Answer:
        name = call.request.match_info["name"]
        state = await call.office.command(name, command)
        log.info("api action", action=command, gateway=name, by=call.by)
        return Answer(value=gateway_json(state))

    return handler


async def balance(call: Call) -> Answer:
    """Ask a gateway for the money left."""
    name = call.query.gateway or next(iter(call.office.config.gateways), "")
    answer = await call.office.balance(name)
    if isinstance(answer, SmsError):
        raise Refused(502, f"the gateway says: {answer.code}: {answer.text}")
    return Answer(value=answer)


async def stats(call: Call) -> Answer:
    """Sum up what came in since some time."""
    query: models.StatsQuery = call.query
    now = call.office.clock.now()
    since = _moment(call, "since", query.since)
    if since < now - LONGEST:
        raise Refused(400, f"since: sums go back {LONGEST.days} days")
    found = await call.office.sums.buckets(by=query.by, since=since)
    value: dict[str, Json] = {
        "by": query.by, "since": time_json(start_of(since, query.by)), "until": time_json(now),
        "buckets": [bucket_json(bucket) for bucket in found],
    }  # fmt: skip
    return Answer(value=value)


async def oncall(call: Call) -> Answer:
    """Say who is on duty."""
    query: models.OncallQuery = call.query
    try:
        return Answer(value=call.office.clerk.oncall(query.alias, days=query.days))
    except Rejected as nobody:
        raise Refused(404, str(nobody)) from nobody


# ------------------------------------------------------------------------------------------------- events
async def events(call: Call) -> web.StreamResponse:
    """Stream what happens, from the client's last event on where it names one."""
    wanted = frozenset(call.query.event)
    last = call.request.headers.get("Last-Event-ID", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0

    def form(event: Event) -> bytes:
        if wanted and event.entry.event not in wanted:
            return b""
        data = json.dumps(event_json(event), ensure_ascii=False)
        return f"id: {event.n}\nevent: {event.entry.event}\ndata: {data}\n\n".encode("utf-8", "replace")

    return await stream(call.request, call.office.feed, form, after=after)


# -------------------------------------------------------------------------------------------------- table
_ACTIONS = {
    Action.RETRY: "Send again, now: what failed, expired, was cancelled, or waits for its next attempt.",
    Action.HOLD: "Keep a queued message back until it is released.",
    Action.RELEASE: "Let a held message go.",
    Action.CANCEL: "Never send a queued or held message.",
    Action.RESEND: "Send the same text once more, as a new message.",
}
_COMMANDS = {
    "probe": "Ask a suspended gateway now whether it is well.",
    "suspend": "Give it no messages until it is resumed.",
    "resume": "Give it messages again.",
}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET", path="/messages", name="listMessages", summary="List messages, newest first.", scope="read",
        handler=list_messages, query=models.ListQuery, answer=models.MessagePage,
    ),
    Operation(
        method="POST", path="/messages", name="send", summary="Queue a text.", scope="send", handler=send,
        bodies=(models.NewOrder,), answer=models.Message, is_list=True, status=202, problems=(422,), takes_key=True,
    ),
    Operation(
        method="GET", path="/messages/{id}", name="getMessage", scope="read", handler=get_message,
        summary="A message, or the messages of a mail, with their history.", answer=models.MessageWithHistory,
        is_either=True, problems=(404,),
    ),
    *(
        Operation(
            method="POST", path=f"/messages/{{id}}/{action.value}", name=f"{action.value}Message", summary=words,
            scope="operate", handler=_act(action), answer=models.Message, is_list=True, problems=(404, 409),
        )
        for action, words in _ACTIONS.items()
    ),
    Operation(
        method="POST", path="/preview", name="preview", summary="What would be sent; sends nothing.", scope="read",
        handler=preview, bodies=(models.NewOrder, models.MailQuestion), mail_query=models.MailQuery,
        answer=models.Preview, problems=(422,),
    ),
    Operation(
        method="POST", path="/explain", name="explain", scope="read", handler=explain,
        summary="Why a mail would be accepted or refused, step by step.", bodies=(models.MailQuestion,),
        mail_query=models.MailQuery, answer=models.Explained, problems=(422,),
    ),
    Operation(
        method="GET", path="/gateways", name="listGateways", summary="State and spend of each gateway.", scope="read",
        handler=list_gateways, answer=models.Gateway, is_list=True,
    ),
    *(
        Operation(
            method="POST", path=f"/gateways/{{name}}/{command}", name=f"{command}Gateway", summary=words,
            scope="operate", handler=_command(command), answer=models.GatewayState, problems=(404,),
        )
        for command, words in _COMMANDS.items()
    ),
    Operation(
        method="GET", path="/balance", name="balance", summary="Money left on a gateway's account.", scope="read",
        handler=balance, query=models.BalanceQuery, answer=models.Balance, problems=(404, 502),
    ),
    Operation(
        method="GET", path="/stats", name="stats", summary="Messages, parts, money and latencies over time.",
        scope="read", handler=stats, query=models.StatsQuery, answer=models.Stats,
    ),
    Operation(
        method="GET", path="/oncall", name="oncall", summary="Who is on duty, now and later.", scope="read",
        handler=oncall, query=models.OncallQuery, answer=models.Roster, is_list=True, problems=(404,),
    ),
    Operation(
        method="GET", path="/events", name="events", scope="read", handler=events, query=models.EventsQuery,
        summary="What happens to messages, as it happens. With `Last-Event-ID` it goes on from there.",
        answer=models.HistoryLine, media=STREAM,
    ),
)  # fmt: skip

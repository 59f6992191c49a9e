"""What a person can ask of the bridge and do to it: the logic behind the command line, the desk and the API.

Works on a store and the configuration, never on a running process: a verb writes to the queue, and the daemon notices
(``Store.changed_outside``). JSON shapes are those of docs/reference/json.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import assert_never
from urllib.parse import quote

from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.errors import NotFound, WrongState
from mailbridge.escalation.answers import acknowledge_by_hand
from mailbridge.model.ids import as_written, message_id, new_mail_id
from mailbridge.model.outcome import Balance
from mailbridge.model.state import FINAL, State
from mailbridge.queue.browsing import Event, Page
from mailbridge.queue.contract import (
    Change,
    Filter,
    GatewayState,
    HistoryEntry,
    Json,
    NewMail,
    NewMessage,
    Store,
    StoredMessage,
)
from mailbridge.queue.escalations import ANSWERABLE, KEPT_FOR, FoundEscalation, Wanted


# ------------------------------------------------------------------------------------------------- shapes
def time_json(at: datetime | None) -> str | None:
    """Return RFC 3339 in UTC with milliseconds: ``2026-01-05T09:00:00.000Z``."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money_json(amount: Decimal | None) -> str | None:
    """Return money as a decimal string without trailing zeros past the cents: ``1.40``."""
    if amount is None:
        return None
    exponent = amount.normalize().as_tuple().exponent
    places = max(2, -exponent if isinstance(exponent, int) else 2)
    return f"{amount:.{places}f}"


def message_json(row: StoredMessage) -> dict[str, Json]:
    """Return one message as docs/reference/json.md has it."""
    sms, error = row.message, row.error
    return {
        "id": row.id,
        "mail": row.mail_id,
        "phone": sms.phone,
        "channel": sms.channel,
        "sender": sms.sender,
        "text": sms.text,
        "translit": sms.translit,
        "parts": row.parts,
        "alphabet": sms.alphabet.value,
        "state": row.state.value,
        "attempts": row.attempts,
        "gateway": row.gateway,
        "gateway_id": row.gateway_id,
        "price": money_json(row.price),
        "currency": row.currency,
        "error": None if error is None else {"code": error.code, "text": error.text, "class": error.error_class.value},
        "rule": sms.rule,
        "profile": sms.profile,
        "created_at": time_json(row.created_at),
        "updated_at": time_json(row.updated_at),
        # of a message handed over, the row holds when its gateway is asked about it: no attempt
        "next_attempt_at": time_json(row.next_attempt_at) if row.state in _WAITING else None,
        "expires_at": time_json(row.expires_at),
    }


_WAITING = frozenset({State.QUEUED, State.UNKNOWN})


def history_json(entries: Sequence[HistoryEntry]) -> list[Json]:
    """Return a message's history as docs/reference/json.md has it."""
    return [
        {"at": time_json(e.at), "event": e.event, "state": e.state.value, "detail": dict(e.detail)} for e in entries
    ]


def event_json(event: Event) -> dict[str, Json]:
    """Return an event as docs/reference/api.md has it: the line of the history, and the message as it is now."""
    entry = event.entry
    return {
        "n": event.n, "id": entry.message_id, "at": time_json(entry.at), "event": entry.event,
        "state": entry.state.value, "detail": dict(entry.detail), "message": message_json(event.message),
    }  # fmt: skip


def gateway_json(state: GatewayState) -> dict[str, Json]:
    """Return a gateway's state."""
    return {
        "name": state.name,
        "state": "suspended" if state.suspended else "up",
        "by_hand": state.by_hand,
        "on_trial": state.on_trial,
        "code": state.code,
        "reason": state.reason,
        "since": time_json(state.since),
        "probe_at": time_json(state.probe_at),
        "probes": state.probes,
    }


# ---------------------------------------------------------------------------------------------- questions
async def show(store: Store, id_: str) -> list[dict[str, Json]]:
    """Return the messages of *id_* (a mail's or a message's id) with their history. Raises NotFound."""
    rows = await store.get_messages(as_written(id_))
    if not rows:
        raise NotFound(f"there is no mail or message {id_}")
    mail = await store.get_mail(rows[0].mail_id)
    out = []
    for row in rows:
        shape = message_json(row)
        if mail is not None:
            shape["mail_from"], shape["subject"], shape["message_id"] = mail.sender, mail.subject, mail.message_id
            shape["client"], shape["received_at"] = mail.client, time_json(mail.received_at)
        attempts = await store.attempts_of(row.id)
        shape["gateway_ids"] = [attempt.gateway_id for attempt in attempts]
        shape["history"] = history_json(await store.history(row.id))
        out.append(shape)
    return out


async def find_all(store: Store, wanted: Filter, *, page: int = 500) -> list[StoredMessage]:
    """Return all messages *wanted* asks for, up to its limit, newest first."""
    found: list[StoredMessage] = []
    while len(found) < wanted.limit:
        step = replace(wanted, limit=min(page, wanted.limit - len(found)), after_id=found[-1].id if found else None)
        rows = await store.find(step)
        found += rows
        if len(rows) < step.limit:
            break
    return found


async def find_some(store: Store, wanted: Filter, *, clock: Clock, budget_s: float, reach: int = 10_000) -> Page:
    """Return the next page of what *wanted* asks for, newest first; a short one where looking on takes too long.

    At least *reach* messages are looked at, whatever the budget.
    """
    found: list[StoredMessage] = []
    until_s = clock.monotonic() + budget_s
    while True:
        step = replace(wanted, limit=wanted.limit - len(found))
        page = await store.page(step, reach=reach)
        found += page.messages
        wanted = replace(wanted, after_id=page.after_id)
        if page.after_id is None or len(found) == wanted.limit or clock.monotonic() >= until_s:
            return Page(messages=tuple(found), after_id=page.after_id)


# ------------------------------------------------------------------------------------------------ actions
class Action(StrEnum):
    """What a person can do to a message. All but RESEND change it; RESEND makes another one like it."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    RESEND = "resend"


_MAY: Mapping[Action, frozenset[State]] = {
    # a message that may be on its way (sending, unknown, sent) is never sent again on a person's word alone
    Action.RETRY: frozenset(
        {State.QUEUED, State.FAILED, State.EXPIRED, State.UNDELIVERED, State.CANCELLED, State.SUPPRESSED, State.HELD}
    ),
    Action.HOLD: frozenset({State.QUEUED}),
    Action.RELEASE: frozenset({State.HELD}),
    Action.CANCEL: frozenset({State.QUEUED, State.HELD}),
    # what has been handed over, or never will be; of the rest nobody knows yet whether it goes by itself
    Action.RESEND: FINAL | {State.SENT},
}


def may(state: State) -> tuple[Action, ...]:
    """Return what a person can do to a message in *state*."""
    return tuple(action for action, states in _MAY.items() if state in states)


def decide_action(row: StoredMessage, action: Action, *, lifetime_s: float, by: str, now: datetime) -> Change:
    """Say what *action* makes of *row*. Raises WrongState where the state does not allow it."""
    if row.state not in _MAY[action]:
        allowed = ", ".join(sorted(state.value for state in _MAY[action]))
        raise WrongState(f"{row.id} is {row.state.value}; {action.value} takes messages that are {allowed}")
    because: dict[str, Json] = {"by": by, "action": action.value}
    match action:
        case Action.RETRY | Action.RELEASE:
            lives_on = row.expires_at > now
            return Change(
                message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=State.QUEUED, at=now,
                event="queued", detail=because, next_attempt_at=now,
                expires_at=None if lives_on else now + timedelta(seconds=lifetime_s),
            )  # fmt: skip
        case Action.HOLD:
            to, event = State.HELD, "held"
        case Action.CANCEL:
            to, event = State.CANCELLED, "cancelled"
        case Action.RESEND:
            raise ValueError("no change of the message")
        case _:
            assert_never(action)
    return Change(
        message_id=row.id, expect=frozenset({row.state}), attempt=row.attempts, to=to, at=now, event=event,
        detail=because,
    )  # fmt: skip


async def act(
    store: Store, ids: Sequence[str], action: Action, *, lifetime_s: float, by: str, clock: Clock
) -> list[StoredMessage]:
    """Carry *action* out on every message of *ids* (of mails or messages), all or none; return them as they are now.

    A mail's id means those of its messages that allow the action. RESEND returns the new messages; all of one mail, or
    none. Raises NotFound, WrongState.
    """
    now = clock.now()
    changes: list[Change] = []
    again: list[StoredMessage] = []
    for id_ in ids:
        rows = await store.get_messages(as_written(id_))
        if not rows:
            raise NotFound(f"there is no mail or message {id_}")
        able = [row for row in rows if row.state in _MAY[action]] or rows
        if action is Action.RESEND:
            again += able
        else:
            changes += [decide_action(row, action, lifetime_s=lifetime_s, by=by, now=now) for row in able]
    if action is Action.RESEND:
        return await _resend(store, again, lifetime_s=lifetime_s, by=by, now=now)
    applied = await store.apply(changes)
    for change, took in zip(changes, applied, strict=True):
        if not took:
            raise WrongState(f"{change.message_id} changed in this moment; look again")
    return [(await store.get_messages(change.message_id))[0] for change in changes]


async def _resend(
    store: Store, rows: Sequence[StoredMessage], *, lifetime_s: float, by: str, now: datetime
) -> list[StoredMessage]:
    """Queue new messages like *rows*, to the same phones and with the same texts, as one mail for each of theirs."""
    for row in rows:
        if row.state not in _MAY[Action.RESEND]:
            raise WrongState(f"{row.id} is {row.state.value}; what became of it must be known first")
    out: list[StoredMessage] = []
    for mail_id in dict.fromkeys(row.mail_id for row in rows):
        mail = await store.get_mail(mail_id)
        if mail is None:
            raise NotFound(f"there is no mail {mail_id}")
        new_id = new_mail_id(now.timestamp())
        messages = tuple(
            NewMessage(
                id=message_id(new_id, number), recipient=row.recipient, next_attempt_at=now,
                # now, and under an id of its own
                message=replace(row.message, time="", wanted_id=None),
                detail={"by": by, "action": Action.RESEND.value, "of": row.id},
                expires_at=now + timedelta(seconds=lifetime_s),
            )
            for number, row in enumerate((row for row in rows if row.mail_id == mail_id), start=1)
        )  # fmt: skip
        await store.put(
            NewMail(
                id=new_id, received_at=now, sender="", client="local", user=by, message_id="", subject=mail.subject,
                envid=None, ret=None, reportable=False, original=mail.original, size_bytes=mail.size_bytes,
                messages=messages,
            )
        )  # fmt: skip
        out += await store.get_messages(new_id)
    return out


# ----------------------------------------------------------------------------------------------- gateways
async def gateways_json(
    config: Config, store: Store, *, spend: Mapping[str, Mapping[str, Json]], shows_callback: bool = True
) -> list[dict[str, Json]]:
    """Return each configured gateway's state; *spend* is what ``spend_json`` told."""
    states = await store.gateway_states()
    shapes: list[dict[str, Json]] = []
    for name, settings in config.gateways.items():
        shape = gateway_json(states.get(name, GatewayState(name=name)))
        shape["type"] = settings.type
        path = settings.callback_path
        # the one secret a person is shown: he has to tell it to the gateway
        shape["callback"] = f"/callback/{name}/{quote(path.get_secret_value())}" if path and shows_callback else None
        shape["spend"] = dict(spend.get(name, {"today": [], "month": []}))
        shapes.append(shape)
    return shapes


def balance_json(balance: Balance, *, currency: str | None) -> dict[str, Json]:
    """Return the money left; *currency* is what the configuration says, where the gateway says nothing."""
    shape: dict[str, Json] = {
        "gateway": balance.gateway, "balance": money_json(balance.balance), "currency": balance.currency or currency,
    }  # fmt: skip
    if balance.credit is not None:
        shape["credit"] = money_json(balance.credit)
    return shape


async def spend_json(store: Store, *, now: datetime) -> dict[str, dict[str, Json]]:
    """Return what each gateway took today and this month, in the days of the process's time zone.

    Shape: ``{"main": {"today": [{amount, currency, messages, parts}], "month": […]}}``, one entry for each currency.
    """
    today = now.astimezone().replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    # a naive time is read in the process's zone, with the offset that holds on that very day
    starts = {"today": today.astimezone(), "month": today.replace(day=1).astimezone()}
    out: dict[str, dict[str, Json]] = {}
    for name, since in starts.items():
        for sum_ in await store.spend(since=since):
            entries = out.setdefault(sum_.gateway, {"today": [], "month": []})[name]
            assert isinstance(entries, list)
            entries.append(
                {
                    "amount": money_json(sum_.amount),
                    "currency": sum_.currency,
                    "messages": sum_.messages,
                    "parts": sum_.parts,
                }
            )
    return out


async def command_gateway(store: Store, name: str, command: str, *, clock: Clock) -> GatewayState:
    """Carry out ``probe``, ``suspend`` or ``resume``; the daemon follows within a second."""
    state = (await store.gateway_states()).get(name, GatewayState(name=name))
    now = clock.now()
    match command:
        case "suspend":
            state = GatewayState(
                name=name, suspended=True, by_hand=True, code="by hand", reason="suspended by hand", since=now
            )
        case "resume":
            state = GatewayState(name=name)
        case "probe":
            if not state.suspended or state.by_hand:
                return state
            state = replace(state, probe_at=now)
        case _:
            raise ValueError(f"no such command: {command}")
    await store.save_gateway_state(state)
    return state


# ------------------------------------------------------------------------------------------------ answers
def escalation_json(found: FoundEscalation) -> dict[str, Json]:
    """Return an alert that has to be answered as docs/reference/json.md has it."""
    one = found.escalation
    return {
        "mail": one.mail_id,
        "escalation": one.chain,
        "number": one.number,
        "status": one.status.value,
        "steps": one.steps,
        "by": one.by or None,
        "subject": None if found.mail is None else found.mail.subject,
        "opened_at": time_json(one.opened_at),
        "due_at": time_json(one.due_at),
        "ended_at": time_json(one.ended_at),
        "messages": [
            {"id": entry.message.id, "step": entry.step, "phone": entry.message.message.phone,
             "channel": entry.message.message.channel, "state": entry.message.state.value}
            for entry in found.messages
        ],
    }  # fmt: skip


async def unanswered(store: Store, *, now: datetime, limit: int = 100) -> Sequence[FoundEscalation]:
    """Return the alerts that somebody may still answer, newest first."""
    asked = Wanted(statuses=ANSWERABLE, ended_after=now - KEPT_FOR, limit=limit)
    return await store.find_escalations(asked)


async def acknowledge(store: Store, ids: Sequence[str], *, by: str, clock: Clock) -> list[FoundEscalation]:
    """Answer the alerts that *ids* name, one after the other, and return them as they are now.

    An id is a mail's, a message's, or the number in the text. The running bridge tells the sender.
    Raises: NotFound; WrongState where one was answered before.
    """
    answered: list[FoundEscalation] = []
    for id_ in ids:
        for found in await acknowledge_by_hand(store, id_, by=by, clock=clock):
            now = await store.find_escalations(Wanted(id=found.escalation.mail_id))
            answered += [one for one in now if one.escalation.id == found.escalation.id]
    return answered

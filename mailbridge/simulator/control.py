"""The control interface: faults of an account, inbound messages. For tests and rehearsals; the real gateway has none.

POST takes JSON only: a page in somebody's browser cannot send that across sites without asking first.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from aiohttp import web

from mailbridge.simulator.books import OWN_NUMBER
from mailbridge.simulator.carrier import Carrier
from mailbridge.simulator.faults import BadFault, parse_balance, parse_fault
from mailbridge.simulator.messages import Step
from mailbridge.simulator.phones import parse_number
from mailbridge.simulator.state import CALLBACKS, CARRIER

_BALANCE_KEYS = frozenset({"balance", "login"})


def add_control_routes(app: web.Application) -> None:
    """Put the control pages into *app*."""
    app.router.add_get("/control/faults", _list_faults)
    app.router.add_post("/control/faults", _add_fault)
    app.router.add_delete("/control/faults", _clear_faults)
    app.router.add_get("/control/accounts", _list_accounts)
    app.router.add_post("/control/answers", _add_answer)
    app.router.add_post("/control/calls", _add_call)
    app.router.add_post("/control/clicks", _add_click)


async def _object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request.

    Raises: web.HTTPException.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send Content-Type: application/json\n")
    try:
        data: Any = json.loads(await request.read())
    except (ValueError, RecursionError) as problem:
        raise web.HTTPBadRequest(text="that is not JSON\n") from problem
    if not isinstance(data, dict):
        raise web.HTTPBadRequest(text="send a JSON object\n")
    return data


def _faults(carrier: Carrier) -> dict[str, Any]:
    """Return all faults and balances."""
    return {
        "faults": carrier.faults.describe(),
        "balances": {account.login: str(account.balance) for account in carrier.accounts},
    }


async def _list_faults(request: web.Request) -> web.Response:
    """Answer GET /control/faults."""
    return web.json_response(_faults(request.app[CARRIER]))


async def _add_fault(request: web.Request) -> web.Response:
    """Answer POST /control/faults: one rule, a balance, or both."""
    data, carrier = await _object(request), request.app[CARRIER]
    try:
        fault = parse_fault(data)
        amount = parse_balance(data["balance"]) if "balance" in data else None
    except BadFault as problem:
        raise web.HTTPBadRequest(text=f"{problem}\n") from problem
    if fault.login is not None and carrier.accounts.get(fault.login) is None:
        raise web.HTTPBadRequest(text="there is no such login\n")
    if amount is not None:
        carrier.force_balance(amount, fault.login)
    if data.keys() - _BALANCE_KEYS:
        carrier.faults.add(fault)
    return web.json_response(_faults(carrier), status=201)


async def _clear_faults(request: web.Request) -> web.Response:
    """Answer DELETE /control/faults."""
    request.app[CARRIER].clear_faults()
    return web.json_response(_faults(request.app[CARRIER]))


async def _list_accounts(request: web.Request) -> web.Response:
    """Answer GET /control/accounts: money and counters, no secrets."""
    carrier = request.app[CARRIER]
    accounts = [
        {
            "login": account.login,
            "balance": str(account.balance),
            "currency": account.settings.currency,
            "spent": str(account.spent),
            "parts_sent": account.sent,
        }
        for account in carrier.accounts
    ]
    return web.json_response({"accounts": accounts, "peak_concurrency": carrier.concurrency.peak})


async def _add_answer(request: web.Request) -> web.Response:
    """Answer POST /control/answers ``{"phone","mes","to"?,"login"?}``: an SMS from a handset comes in."""
    data, carrier = await _object(request), request.app[CARRIER]
    default = next(iter(carrier.accounts)).login
    phone, mes, to, login = (data.get(name, other) for name, other in
                             (("phone", None), ("mes", None), ("to", OWN_NUMBER), ("login", default)))  # fmt: skip
    if not (isinstance(phone, str) and isinstance(mes, str) and isinstance(to, str) and isinstance(login, str)):
        raise web.HTTPBadRequest(text="phone and mes are needed, as strings\n")
    if carrier.accounts.get(login) is None:
        raise web.HTTPBadRequest(text="there is no such login\n")
    inbound = carrier.inbox.add(
        login=login,
        phone=parse_number(phone).digits,
        mes=mes,
        to=to.lstrip("+"),
        now=carrier.clock.now().timestamp(),
    )
    request.app[CALLBACKS].inbound_received(inbound)
    return web.json_response({"id": inbound.serial}, status=201)


async def _add_call(request: web.Request) -> web.Response:
    """Answer POST /control/calls ``{"phone","login"?}``: somebody calls a number wait_call.php gave."""
    data, carrier = await _object(request), request.app[CARRIER]
    phone, login = data.get("phone"), data.get("login", next(iter(carrier.accounts)).login)
    if not isinstance(phone, str) or carrier.accounts.get(login) is None:
        raise web.HTTPBadRequest(text="phone is needed, as a string, and a login that is there\n")
    request.app[CALLBACKS].wait_call_made(login, parse_number(phone).digits, carrier.clock.now().timestamp())
    return web.json_response({"phone": phone}, status=201)


async def _add_click(request: web.Request) -> web.Response:
    """Answer POST /control/clicks ``{"link","login"?}``: a short link is followed; its messages then have status 4."""
    data, carrier = await _object(request), request.app[CARRIER]
    link, login = data.get("link"), data.get("login", next(iter(carrier.accounts)).login)
    record = carrier.books.of(login).links.find(link=link) if carrier.accounts.get(login) is not None else None
    if record is None:
        raise web.HTTPBadRequest(text="there is no such link or login\n")
    record["cnt"] = clicks = int(str(record["cnt"])) + 1
    now = carrier.clock.now().timestamp()
    for message in list(carrier.store.newest()):
        if message.login == login and str(link) in message.text.split() and message.step_at(now).status == 1:
            clicked = replace(message, steps=(*message.steps, Step(now, 4, 0)))
            carrier.store.replace(clicked)
            request.app[CALLBACKS].link_clicked(clicked)
    return web.json_response({"clicks": clicks}, status=201)

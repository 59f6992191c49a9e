"""The other side of each described carrier: a real server that answers as that vendor documents, and remembers."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as the carrier read it."""

    phone: str
    text: str
    #: our id, where the carrier is told
    ref: str
    own_id: str


@dataclass(slots=True)
class Vendor:
    """How one carrier reads a request and answers; *refuse* is answered instead, once, where it is set."""

    read: Callable[[web.Request, dict[str, str]], tuple[str, str, str]]
    accept: Callable[[Arrived], Answer]
    state: Callable[[str], Answer] = lambda _word: (404, {})
    balance: Answer = (404, {})
    arrived: list[Arrived] = field(default_factory=list)
    refuse: Answer | None = None
    #: the vendor's word for what became of the messages
    word: str = ""
    #: answers /lookup by our own id
    by_ref: bool = False
    requests: list[web.Request] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        fields = dict(request.query) | await _fields(request)
        self.requests.append(request)
        self.forms.append(fields)
        if self.refuse is not None:
            return _response(self.refuse)
        if "balance" in request.path.lower():
            return _response(self.balance)
        if request.path.endswith("/status") or (request.method == "GET" and "/Messages/" in request.path):
            return _response(self.state(self.word))
        if self.by_ref and request.path == "/lookup":
            found = next((one for one in self.arrived if one.ref == fields["ref"]), None)
            return _response(
                (200, {"state": "accepted", "id": found.own_id}) if found else (404, {"error": "no such message"})
            )
        phone, text, ref = self.read(request, fields)
        arrived = Arrived(phone.removeprefix("+"), text, ref, f"id-{len(self.arrived) + 1}")
        self.arrived.append(arrived)
        return _response(self.accept(arrived))


async def _fields(request: web.Request) -> dict[str, str]:
    if request.content_type == "application/json":
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in (await request.json()).items()
        }
    return {name: str(value) for name, value in (await request.post()).items()}


def _response(answer: Answer) -> web.Response:
    status, body = answer
    if isinstance(body, str):
        return web.Response(status=status, text=body)
    return web.json_response(body, status=status)


def _form(phone: str, text: str, ref: str = "") -> Callable[[web.Request, dict[str, str]], tuple[str, str, str]]:
    return lambda _request, fields: (fields[phone], fields[text], fields.get(ref, ""))


def _basic(login: str, password: str, inner):
    def read(request, fields):
        assert request.headers["Authorization"] == "Basic " + b64encode(f"{login}:{password}".encode()).decode()
        return inner(request, fields)

    return read


def _smsru(item: dict[str, Any]) -> Answer:
    return 200, {"status": "OK", "status_code": 100, "sms": {"79990000001": item}, "balance": 4122.56}


def vendor(name: str) -> Vendor:
    """Return the carrier of a file of contrib/carriers."""
    match name:
        case "sms-ru":
            return Vendor(
                read=_form("to", "msg"),
                accept=lambda m: _smsru({"status": "OK", "status_code": 100, "sms_id": m.own_id}),
                state=lambda word: _smsru({"status": "OK", "status_code": int(word), "cost": "0.50"}),
                balance=(200, {"status": "OK", "status_code": 100, "balance": 4762.58}),
            )
        case "twilio":
            return Vendor(
                read=_basic("AC0123", "token-canary", _form("To", "Body")),
                accept=lambda m: (201, {"sid": m.own_id, "status": "queued", "error_code": None, "price": None}),
                state=lambda word: (
                    (404, {"code": 20404, "status": 404}) if word == "gone" else (200, {"sid": "x", "status": word})
                ),
                balance=(200, {"currency": "USD", "balance": "0.12", "account_sid": "AC0123"}),
            )
        case "vonage":
            return Vendor(
                read=_form("to", "text", "client-ref"),
                accept=lambda m: (200, {"message-count": "1", "messages": [
                    {"to": m.phone, "message-id": m.own_id, "status": "0", "remaining-balance": "3.14", "message-price": "0.0333"}]}),
                balance=(200, {"value": 3.14159, "autoReload": False}),
            )  # fmt: skip
        case "clickatell":
            return Vendor(
                read=lambda _request, fields: (json.loads(fields["to"])[0], fields["content"], fields["clientMessageId"]),
                accept=lambda m: (202, {"messages": [
                    {"apiMessageId": m.own_id, "accepted": True, "to": m.phone, "errorCode": None, "error": None}]}),
            )  # fmt: skip
        case "kannel":
            return Vendor(read=_form("to", "text"), accept=lambda _m: (202, "0: Accepted for delivery"))
        case "gammu":
            return Vendor(
                read=_basic("admin", "gammu-canary", _form("number", "text")),
                accept=lambda _m: (200, {"status": 200, "message": "[255]"}),
            )
        case "look-alike":
            return Vendor(
                read=_form("to", "text", "ref"),
                accept=lambda m: (200, {"ok": True, "message_id": m.own_id}),
                by_ref=True,
            )
    raise KeyError(name)


@asynccontextmanager
async def serving(carrier: Vendor) -> AsyncIterator[Vendor]:
    """Run *carrier* on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", carrier.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    carrier.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield carrier
    finally:
        await runner.cleanup()

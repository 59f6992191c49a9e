"""What was received, to look at: the page ``/``, ``/messages.json`` and ``/requests.json``. Shows no credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any

import jinja2
from aiohttp import web

from mailbridge.simulator.messages import Stored
from mailbridge.simulator.state import CARRIER, LEDGER
from mailbridge.simulator.statuses import NAMES

_SHOWN = 100
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}
_FINAL_GOOD = frozenset({1, 2, 4})

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("mailbridge.simulator"), autoescape=True, undefined=jinja2.StrictUndefined
)


def add_page_routes(app: web.Application) -> None:
    """Put the pages into *app*."""
    app.router.add_get("/", _page)
    app.router.add_get("/messages.json", _messages)
    app.router.add_delete("/messages.json", _clear_messages)
    app.router.add_get("/requests.json", _requests)
    app.router.add_delete("/requests.json", _clear_requests)
    app.router.add_get("/static/{name}", _static)


def message_as_json(message: Stored, now: float) -> dict[str, Any]:
    """Return a message as ``/messages.json`` and the page show it; *now* is Unix time."""
    step = message.step_at(now)
    return {
        "phone": "+" + message.phone if message.phone.isdigit() else message.phone,
        "sender": message.sender,
        "text": message.text,
        "mes": message.mes,
        "comment": message.comment,
        "id": message.message_id,
        "type": message.kind,
        "translit": message.translit,
        "parts": message.parts,
        "alphabet": message.alphabet,
        "cost": _plain(message.cost),
        "status": step.status,
        "status_name": NAMES.get(step.status, ""),
        "err": step.err,
        "received_at": _rfc3339(message.received_at),
        "send_at": _rfc3339(message.send_at),
        "valid_s": int(message.valid_s),
        "files": list(message.files),
        "login": message.login,
    }


def _plain(amount: Decimal) -> str:
    return f"{amount:.2f}"


def _rfc3339(timestamp: float) -> str:
    """Return a Unix time in RFC 3339."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _limit(request: web.Request, default: int | None) -> int | None:
    """Return ``limit`` of the query."""
    text = request.query.get("limit", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else default


async def _page(request: web.Request) -> web.Response:
    """Answer GET /."""
    carrier = request.app[CARRIER]
    now = carrier.clock.now().timestamp()
    html = _templates.get_template("page.html").render(
        messages=[_for_page(message, now) for message in carrier.store.newest(_SHOWN)],
        total=len(carrier.store),
        faults=carrier.faults.describe(),
        accounts=[(one.login, _plain(one.balance), one.settings.currency) for one in carrier.accounts],
    )
    return web.Response(text=html, content_type="text/html", headers=_HEADERS)


def _for_page(message: Stored, now: float) -> dict[str, Any]:
    """Return a message with the words and colours of the page."""
    shown = message_as_json(message, now)
    status = shown["status"]
    mood = "good" if status in _FINAL_GOOD else "bad" if status >= 3 else "open"
    return shown | {"mood": mood, "time": datetime.fromtimestamp(message.received_at, UTC).strftime("%H:%M:%S")}


async def _messages(request: web.Request) -> web.Response:
    """Answer GET /messages.json, newest first."""
    carrier = request.app[CARRIER]
    now = carrier.clock.now().timestamp()
    shown = [message_as_json(message, now) for message in carrier.store.newest(_limit(request, None))]
    return web.json_response(shown, headers=_HEADERS)


async def _clear_messages(request: web.Request) -> web.Response:
    """Answer DELETE /messages.json."""
    request.app[CARRIER].store.clear()
    return web.Response(status=204)


async def _requests(request: web.Request) -> web.Response:
    """Answer GET /requests.json, newest first."""
    entries = list(request.app[LEDGER].entries)[::-1][: _limit(request, None)]
    return web.json_response([entry.as_json() for entry in entries], headers=_HEADERS)


async def _clear_requests(request: web.Request) -> web.Response:
    """Answer DELETE /requests.json."""
    request.app[LEDGER].entries.clear()
    return web.Response(status=204)


async def _static(request: web.Request) -> web.Response:
    """Answer a style sheet or script of the page."""
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    content = (files("mailbridge.simulator") / "static" / name).read_bytes()
    headers = _HEADERS | {"Content-Type": f"{_STATIC[name]}; charset=utf-8"}
    return web.Response(body=content, headers=headers)

"""SMSC's callbacks: ``/callback/<gateway>/<callback_path>``; 403 forged, 404 wrong path, 200 everything else.

Whatever the event names, a signed one is answered 200: a gateway that hears anything else repeats it for a day.
Only our own trouble is answered 503, because the event must come again then.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from pydantic import SecretStr

from mailbridge.delivery.questions import Receipts
from mailbridge.errors import StoreError
from mailbridge.gateway.json_fields import flat
from mailbridge.gateway.smsc.callback import Event, parse_event, verify
from mailbridge.model.inbound import InboundSms
from mailbridge.model.outcome import Receipt

log = structlog.get_logger()

#: fields and gateway's name to what they tell; None: nothing that is known
ReadEvent = Callable[[Mapping[str, str], str], Event | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where one gateway calls back; without a secret the path alone is the key."""

    gateway: str
    path: str = field(repr=False)
    secret: SecretStr | None
    #: makes an event of the fields; those of a JSON body have the dotted paths to them as names
    read: ReadEvent = parse_event


async def _form(request: web.Request) -> dict[str, str]:
    """Return the fields of the body; one that cannot be read, or is neither a form nor JSON, has none.

    SMSC's is a form (smsc-api.md 5.2).
    """
    if request.content_type == "application/json":
        return flat(await request.read())
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        form = await request.post()
    except (LookupError, ValueError):  # an unknown charset, or octets that are not of it
        return {}
    return {name: value for name, value in form.items() if isinstance(value, str)}


def add_routes(
    app: web.Application,
    entrances: Mapping[str, Entrance],
    receipts: Receipts,
    *,
    count: Callable[[str, str], None] = lambda _gateway, _result: None,
    inbound: Callable[[InboundSms], Awaitable[bool]],
) -> None:
    """Serve the callback page of each gateway that has one; *count* hears gateway and result of each call.

    *inbound* keeps an SMS that came in and says whether it is new.
    """

    async def callback(request: web.Request) -> web.Response:
        entrance = entrances.get(request.match_info["gateway"])
        path = request.match_info["path"]
        if entrance is None or not hmac.compare_digest(entrance.path.encode(), path.encode()):
            raise web.HTTPNotFound
        # method and place of the fields depend on the account's settings (smsc-api.md 5.2): body over query
        fields = {**request.query, **await _form(request)}
        if entrance.secret is not None and not verify(fields, entrance.secret.get_secret_value()):
            count(entrance.gateway, "forged")
            log.warning("callback forged", gateway=entrance.gateway, client=request.remote)
            raise web.HTTPForbidden
        event = entrance.read(fields, entrance.gateway)
        result = "ignored"
        try:
            if isinstance(event, Receipt):
                result = "taken" if await receipts.take(event) else "unknown"
            elif isinstance(event, InboundSms):
                result = "inbound" if await inbound(event) else "repeated"
        except StoreError:
            count(entrance.gateway, "failed")
            return web.Response(status=503, text="try again")
        if result == "unknown":
            log.info("callback about nothing of ours", gateway=entrance.gateway, gateway_id=fields.get("id"))
        count(entrance.gateway, result)
        return web.Response(text="OK")

    app.router.add_route("*", "/callback/{gateway}/{path}", callback)

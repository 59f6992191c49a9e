"""Whether the process is up and whether it can do its work: ``/livez`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from mailbridge.errors import MailbridgeError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing readiness depends on; *ask* raises MailbridgeError when it is not well."""

    name: str
    ask: Callable[[], Awaitable[None]]


class NotReady(MailbridgeError):
    """Not ready."""


async def ask_all(checks: tuple[Check, ...]) -> Mapping[str, str]:
    """Return ``ok`` or what is wrong, in fixed words, for each check."""
    results = {}
    for check in checks:
        try:
            await check.ask()
            results[check.name] = "ok"
        except NotReady as error:
            results[check.name] = str(error)
        except MailbridgeError as error:
            # the operator's log has the details; the page gives the kind only
            results[check.name] = type(error).__name__
    return results


def add_routes(app: web.Application, checks: tuple[Check, ...], facts: Callable[[], Mapping[str, object]]) -> None:
    """Serve the two pages; *facts* are things worth knowing that do not decide (suspended gateways)."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def readyz(_request: web.Request) -> web.Response:
        results = await ask_all(checks)
        ok = all(result == "ok" for result in results.values())
        return web.json_response({"ok": ok, "checks": dict(results), **facts()}, status=200 if ok else 503)

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)

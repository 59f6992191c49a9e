"""A gateway of a few lines, written from the description alone: what a stranger's test server would answer.

Ids come back as strings, keys in another order than the simulator's, nothing that is optional is there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = str | bytes | dict[str, Any] | list[Any] | web.StreamResponse
Form = dict[str, str]


def takes(form: Form) -> Answer:
    """Answer send.php: taken."""
    count = len(form["list"].splitlines()) if "list" in form else len(form["phones"].split(","))
    return {"cnt": count, "id": form["id"]}


def delivered(form: Form) -> Answer:
    """Answer status.php for one message or for a list: delivered."""
    phones, ids = form["phone"].split(","), form["id"].split(",")
    if len(phones) == 1:
        return {"last_timestamp": 0, "status": "1"}
    return [
        {"phone": phone.strip().lstrip("+"), "id": id_, "status": "1"}
        for phone, id_ in zip(phones, ids, strict=True)
        if phone
    ]


def account(_form: Form) -> Answer:
    """Answer balance.php with a plain number."""
    return {"balance": 12.5}


@dataclass
class PlainSmsc:
    """What it was asked, and how it answers: replace an answer to change it."""

    url: str = ""
    answers: dict[str, Callable[[Form], Answer]] = field(
        default_factory=lambda: {"send": takes, "status": delivered, "balance": account}
    )
    #: (script, form) of every request, oldest first
    asked: list[tuple[str, Form]] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    #: until it is set, send.php takes the message and does not answer
    slow: asyncio.Event | None = None

    def forms(self, script: str = "send") -> list[Form]:
        """Return the forms of the requests to *script*."""
        return [form for name, form in self.asked if name == script]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        script = request.match_info["script"]
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.requests.append(request)
        self.asked.append((script, form))
        if script not in self.answers:
            return web.Response(text="ERROR = 1 (parameters error)")
        if script == "send" and self.slow is not None:
            await self.slow.wait()
        answer = self.answers[script](form)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer))


@asynccontextmanager
async def plain_smsc(*, slow: asyncio.Event | None = None) -> AsyncIterator[PlainSmsc]:
    """Run one on a port of its own."""
    gateway = PlainSmsc(slow=slow)
    app = web.Application()
    app.router.add_route("*", "/sys/{script}.php", gateway.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield gateway
    finally:
        await runner.cleanup()

"""Asking the API of a running bridge, with tokens of the test's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from argon2 import PasswordHasher

_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
#: token -> its scopes
SCOPES = {"reader": ["read"], "sender": ["read", "send"], "operator": ["read", "send", "operate"]}


def hashed(password: str) -> str:
    """Return an argon2id hash that costs next to nothing."""
    return _CHEAP.hash(password)


def api_section(**more: Any) -> dict[str, Any]:
    """Return the section ``api`` with one token for each of ``SCOPES``, whose secret is ``<name>-token``."""
    tokens = [{"name": name, "token": hashed(f"{name}-token"), "scopes": scopes} for name, scopes in SCOPES.items()]
    return {"tokens": tokens, **more}


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


class Asker:
    """Asks as the program whose token it has."""

    def __init__(self, url: str, http: aiohttp.ClientSession, name: str | None) -> None:
        self.url = url
        self.http = http
        self.headers = {"Authorization": f"Bearer {name}-token"} if name else {}

    async def __call__(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Said:
        """Ask ``/api/v1`` and *path*."""
        headers = {**self.headers, **(headers or {})}
        async with self.http.request(method, f"{self.url}/api/v1{path}", headers=headers, **more) as answer:
            return Said(answer.status, answer.headers, await answer.text())


@asynccontextmanager
async def asking(url: str, name: str | None = "operator") -> AsyncIterator[Asker]:
    """Ask the bridge at *url* as *name*; None: without a token."""
    async with aiohttp.ClientSession() as http:
        yield Asker(url, http, name)

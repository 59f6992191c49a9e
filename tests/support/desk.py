"""A browser without JavaScript: follows forms and redirects, keeps cookies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from typing import Any

import aiohttp

from tests.support.api import Said, hashed

#: name -> role; the password is ``<name>-password``
USERS = {"lena": "look", "oleg": "operate", "anna": "admin"}


def users_section() -> list[dict[str, Any]]:
    """Return the section ``users`` with one for each role, and one that may only send."""
    roles = {**USERS, "zabbix": "send"}
    return [{"name": name, "password": hashed(f"{name}-password"), "role": role} for name, role in roles.items()]


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = dict(attrs)
        if tag == "form":
            self.forms.append((have.get("action") or "", {}))
        elif tag == "input" and self.forms and have.get("name"):
            self.forms[-1][1][have["name"] or ""] = have.get("value") or ""


class Browser:
    """One browser."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def get(self, path: str, **more: Any) -> Said:
        """Get a page, following redirects."""
        async with self.http.get(f"{self.url}{path}", **more) as answer:
            return Said(answer.status, answer.headers, await answer.text())

    async def post(self, path: str, fields: Mapping[str, str], **more: Any) -> Said:
        """Send a form as it is given, following redirects."""
        async with self.http.post(f"{self.url}{path}", data=dict(fields), **more) as answer:
            return Said(answer.status, answer.headers, await answer.text())

    async def submit(self, page: Said, action: str, **fields: str) -> Said:
        """Fill in the form of *page* that goes to *action*, and send it."""
        (own,) = [have for where, have in forms_of(page) if where == action][:1]
        return await self.post(action, {**own, **fields})

    async def sign_in(self, name: str, password: str | None = None) -> Said:
        """Sign in, and return the page that follows."""
        return await self.submit(await self.get("/login"), "/login", name=name, password=password or f"{name}-password")


def forms_of(page: Said) -> list[tuple[str, dict[str, str]]]:
    """Return action and hidden fields of each form."""
    parser = _Fields()
    parser.feed(page.text)
    return parser.forms


def text_of(page: Said) -> str:
    """Return what a person reads."""
    inside = re.sub(r"<(script|style)\b.*?</\1>", "", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", inside)))


@asynccontextmanager
async def browsing(url: str, name: str | None = None) -> AsyncIterator[Browser]:
    """Open a browser; *name* signs in."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        browser = Browser(url, http)
        if name is not None:
            assert (await browser.sign_in(name)).status == 200
        yield browser

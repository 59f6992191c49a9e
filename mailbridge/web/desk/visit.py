"""One look at the desk: who looks, in which language, and how a page is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from mailbridge.web.desk.render import SECURITY, render
from mailbridge.web.desk.sessions import ROLES, Role, Session
from mailbridge.web.desk.words import translator
from mailbridge.web.office import Office

#: path, name, what one has to be allowed
MENU: tuple[tuple[str, str, Role], ...] = (
    ("/", "Messages", "look"),
    ("/send", "Send", "operate"),
    ("/try", "Try", "look"),
    ("/gateways", "Gateways", "look"),
    ("/plots", "Plots", "look"),
    ("/refused", "Refused", "look"),
    ("/oncall", "On call", "look"),
    ("/settings", "Settings", "admin"),
)


class Wrong(Exception):
    """Something that is answered with a page that says so."""

    def __init__(self, status: int, words: str, detail: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.detail = detail


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request of somebody, signed in or not yet."""

    office: Office
    request: web.Request
    language: str
    theme: str
    session: Session | None = None
    role: Role | None = None
    #: for forms: the session's token, or that of the visit
    csrf: str = ""
    form: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by(self) -> str:
        """Who it is, for histories."""
        return f"desk:{self.session.name}" if self.session else "desk"

    def may(self, role: Role) -> bool:
        """Tell whether the visitor may do what *role* may."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)

    def text(self, name: str, most: int = 512) -> str:
        """Return a field of the form, without what is too much."""
        value = self.form.get(name, "")
        return value[:most] if isinstance(value, str) else ""

    def say(self, word: str) -> str:
        """Return *word* in the visitor's language."""
        return translator(self.language)(word)

    def page(
        self, template: str, title: str, *, status: int = 200, note: str = "", note_class: str = "", subtitle: str = "",
        **values: Any,
    ) -> web.Response:  # fmt: skip
        """Return a page."""
        menu = [(path, name) for path, name, role in MENU if self.may(role)]
        common: dict[str, Any] = {
            "t": translator(self.language), "lang": self.language, "theme": self.theme, "title": title,
            "subtitle": subtitle, "user": self.session.name if self.session else "", "menu": menu,
            "here": self.request.path, "csrf": self.csrf, "note": note, "note_class": note_class,
            "back": self.request.path_qs if self.request.method == "GET" else "/",
        }  # fmt: skip
        content = render(template, **{**common, **values})
        body = content.encode("utf-8", "replace")
        return web.Response(status=status, body=body, content_type="text/html", charset="utf-8", headers=SECURITY)

    def part(self, template: str, **values: Any) -> web.Response:
        """Return a piece of a page."""
        content = render(template, t=translator(self.language), **values)
        return web.Response(
            body=content.encode("utf-8", "replace"), content_type="text/html", charset="utf-8", headers=SECURITY
        )


def seen_other(path: str) -> web.Response:
    """Send the browser to *path*, which it gets anew (RFC 9110 15.4.4)."""
    return web.Response(status=303, headers={"Location": path, **SECURITY})


def own_path(text: str) -> str:
    """Return *text* where it is a path of ours, else the first page: nobody is sent elsewhere."""
    is_own = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isascii() and text.isprintable()
    return text if is_own and "\\" not in text else "/"


View = Callable[[Visit], Awaitable[web.StreamResponse]]

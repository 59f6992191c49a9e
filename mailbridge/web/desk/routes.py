"""Serves the desk: who may see which page, forms that nobody else can send, and every page's security headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog
from aiohttp import web

from mailbridge.config.model import Config
from mailbridge.errors import IntakeError, NotFound, StoreError, WrongState
from mailbridge.web.desk import views, words
from mailbridge.web.desk.render import SECURITY, STATIC, static
from mailbridge.web.desk.sessions import Busy, Role, Sessions, is_from_here, is_same
from mailbridge.web.desk.visit import View, Visit, Wrong, own_path, seen_other
from mailbridge.web.office import Office
from mailbridge.web.server import UNLIMITED

log = structlog.get_logger()

_THEME_COOKIE = "mailbridge-theme"
_YEAR_S = 365 * 86400
#: a mail that is pasted, percent-encoded
_MAX_FORM_BYTES = 1_000_000

#: method, path, who may, page
VIEWS: tuple[tuple[str, str, Role, View], ...] = (
    ("GET", "/", "look", views.messages),
    ("GET", "/messages.csv", "look", views.messages_csv),
    ("GET", "/messages/{id}", "look", views.message),
    ("POST", "/messages/{id}/acknowledge", "operate", views.acknowledge),
    ("POST", "/messages/{id}/{action}", "operate", views.act),
    ("GET", "/send", "operate", views.compose),
    ("POST", "/send", "operate", views.send),
    ("POST", "/send/count", "operate", views.count),
    ("GET", "/try", "look", views.tester),
    ("POST", "/try", "look", views.try_mail),
    ("GET", "/gateways", "look", views.gateways),
    ("POST", "/gateways/{name}/{command}", "operate", views.command),
    ("GET", "/plots", "look", views.drawn),
    ("GET", "/refused", "look", views.refused),
    ("GET", "/oncall", "look", views.oncall),
    ("GET", "/settings", "admin", views.settings),
    ("GET", "/feed", "look", views.feed),
)


class Desk:
    """The desk, by the users in force."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._sessions = Sessions(office.config.users, office.clock)

    def reload(self, config: Config) -> None:
        """Know the users of *config* from now on."""
        self._sessions.replace(config.users)

    def close(self) -> None:
        """Let the threads go."""
        self._sessions.close()

    def add_routes(self, app: web.Application) -> None:
        """Serve the desk."""
        app[UNLIMITED].add("/feed")
        for method, path, role, view in VIEWS:
            app.router.add_route(method, path, self._serve(role, view))
        app.router.add_get("/login", self._open(self._login_page))
        app.router.add_post("/login", self._open(self._login))
        app.router.add_post("/logout", self._open(self._logout))
        app.router.add_post("/look", self._open(self._look))
        for name in STATIC:
            app.router.add_get(f"/static/{name}", self._static(name))
        app.router.add_get("/favicon.ico", self._no_icon)

    # -- every page
    def _serve(self, role: Role, view: View) -> Callable[[web.Request], Any]:
        async def page(visit: Visit) -> web.StreamResponse:
            if visit.session is None:
                where = visit.request.path_qs if visit.request.method == "GET" else "/"
                return seen_other(f"/login?{urlencode({'back': where})}" if where != "/" else "/login")
            if not visit.may(role):
                raise Wrong(403, "You may not do this.")
            if visit.request.method == "POST":
                self._check_form(visit)
            return await view(visit)

        return self._open(page)

    def _open(self, view: View) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.StreamResponse:
            visit = self._visit(request)
            try:
                if request.method == "POST":
                    visit.form = await self._form(request)
                return await view(visit)
            except Wrong as wrong:
                note = visit.say(wrong.words) + (f": {wrong.detail}" if wrong.detail else "")
                return _error(visit, wrong.status, note)
            except NotFound:
                return _error(visit, 404, visit.say("There is nothing here."))
            except WrongState as error:
                return _error(visit, 409, f"{visit.say('This cannot be done')}: {error}")
            except IntakeError as error:
                return _error(visit, 422, str(error.reply))
            except StoreError:
                return _error(visit, 503, visit.say("The queue cannot be asked now. Try again."))
            except (web.HTTPException, ConnectionError, TimeoutError):
                raise
            except Exception:
                log.exception("web request broke", page=request.match_info.route.name or "desk", method=request.method)
                return _error(visit, 500, visit.say("Something broke. The log says what."))

        return serve

    def _visit(self, request: web.Request) -> Visit:
        cookies = request.cookies
        found = self._sessions.find(cookies.get(self._cookie, ""))
        visit = Visit(
            office=self._office, request=request,
            language=words.choose(cookies.get(words.COOKIE), request.headers.get("Accept-Language", "")),
            theme=cookies.get(_THEME_COOKIE, "") if cookies.get(_THEME_COOKIE) in {"dark", "light"} else "",
        )  # fmt: skip
        if found is not None:
            visit.session, visit.role = found
            visit.csrf = visit.session.csrf
        else:
            visit.csrf = self._sessions.visit_token(cookies.get(f"{self._cookie}-visit", ""))
        return visit

    async def _form(self, request: web.Request) -> Mapping[str, Any]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Wrong(415, "This cannot be done")
        if (request.content_length or 0) > _MAX_FORM_BYTES:
            raise Wrong(413, "This cannot be done")
        try:
            # the listener's own bound is for callbacks; a pasted mail is longer
            return await request.clone(client_max_size=_MAX_FORM_BYTES).post()
        except (LookupError, ValueError, RuntimeError) as error:
            raise Wrong(400, "This cannot be done") from error

    def _check_form(self, visit: Visit) -> None:
        """Refuse a form that no page of ours has sent. Raises: Wrong."""
        if not is_from_here(visit.request.headers, self._host(visit.request)):
            raise Wrong(403, "You may not do this.")
        if not is_same(visit.text("csrf"), visit.csrf):
            raise Wrong(403, "This form is too old. Try again.")

    def _host(self, request: web.Request) -> str:
        return urlsplit(self._office.config.web.url).netloc or request.host

    # -- signing in
    @property
    def _is_secure(self) -> bool:
        return self._office.config.web.url.startswith("https://")

    @property
    def _cookie(self) -> str:
        return "__Host-mailbridge" if self._is_secure else "mailbridge"

    def _set(self, response: web.StreamResponse, name: str, value: str, *, max_age_s: int | None = None) -> None:
        response.set_cookie(
            name, value, max_age=max_age_s, path="/", httponly=True, samesite="Lax", secure=self._is_secure
        )

    async def _login_page(self, visit: Visit) -> web.Response:
        if visit.session is not None:
            return seen_other("/")
        return self._ask_in(visit, own_path(visit.request.query.get("back", "/")))

    def _ask_in(self, visit: Visit, back: str, *, status: int = 200, note: str = "") -> web.Response:
        cookie = f"{self._cookie}-visit"
        held = visit.request.cookies.get(cookie) or self._sessions.new_visit()
        visit.csrf = self._sessions.visit_token(held)
        response = visit.page("login.html", "Sign in", status=status, note=note, note_class="bad", back=back)
        self._set(response, cookie, held)
        return response

    async def _login(self, visit: Visit) -> web.Response:
        back = own_path(visit.text("back"))
        if not visit.request.cookies.get(f"{self._cookie}-visit"):
            return self._ask_in(visit, back, status=403, note=visit.say("This form is too old. Try again."))
        visit.csrf = self._sessions.visit_token(visit.request.cookies[f"{self._cookie}-visit"])
        self._check_form(visit)
        name, client = visit.text("name", 255), visit.request.remote or ""
        try:
            cookie = await self._sessions.sign_in(name, visit.text("password", 2_000), client)
        except Busy:
            return self._ask_in(visit, back, status=429, note=visit.say("Too many tries. Wait ten minutes."))
        if cookie is None:
            log.warning("desk login refused", user=name, client=client)
            return self._ask_in(visit, back, status=401, note=visit.say("Wrong name or password."))
        log.info("desk login", user=name, client=client)
        response = seen_other(back)
        self._set(response, self._cookie, cookie)
        response.del_cookie(f"{self._cookie}-visit", path="/")
        return response

    async def _logout(self, visit: Visit) -> web.Response:
        self._check_form(visit)
        self._sessions.sign_out(visit.request.cookies.get(self._cookie, ""))
        response = seen_other("/login")
        response.del_cookie(self._cookie, path="/")
        return response

    async def _look(self, visit: Visit) -> web.Response:
        """Change language or colours; harmless, whoever asks for it."""
        response = seen_other(own_path(visit.text("back")))
        if (language := visit.text("language")) in words.LANGUAGES:
            self._set(response, words.COOKIE, language, max_age_s=_YEAR_S)
        if (theme := visit.text("theme")) in {"dark", "light"}:
            self._set(response, _THEME_COOKIE, theme, max_age_s=_YEAR_S)
        return response

    # -- files
    def _static(self, name: str) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.Response:
            content, version = static(name)
            # the address has the version in it
            headers = {**SECURITY, "Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{version}"'}
            if request.headers.get("If-None-Match") == f'"{version}"':
                return web.Response(status=304, headers=headers)
            return web.Response(body=content, content_type=STATIC[name], charset="utf-8", headers=headers)

        return serve

    async def _no_icon(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers={**SECURITY, "Cache-Control": "public, max-age=86400"})


def _error(visit: Visit, status: int, note: str) -> web.Response:
    title = "There is nothing here." if status == 404 else "This cannot be done"
    if visit.request.headers.get("HX-Request"):
        # htmx puts nothing of an error into the page
        return visit.part("count.html", counted=None, count_note=note)
    return visit.page("error.html", title, status=status, note=note, note_class="bad")

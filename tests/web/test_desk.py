"""The desk, read as a browser without JavaScript reads it."""

import re
from pathlib import Path

import pytest
from yarl import URL

from mailbridge.model.state import State
from mailbridge.web.desk import words
from mailbridge.web.desk.render import STATIC, shown
from mailbridge.web.desk.routes import VIEWS
from tests.support.desk import browsing, forms_of, text_of, users_section
from tests.support.house import id_of, running_house

PHONE = "+79991234567"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}\u202egnp.exe"
TEMPLATES = Path(words.__file__).parent / "templates"


@pytest.fixture
async def house():
    """Return a running house whose bridge has a desk."""
    people = {"people": {"anna": {"phone": "+79991112233"}}, "aliases": {"oncall": {"rota": "ops"}}}
    rotas = {"ops": {"start": "2026-01-05 09:00", "members": ["anna"], "timezone": "UTC"}}
    async with running_house(users=users_section(), rotas=rotas, **people) as running:
        yield running


@pytest.fixture
def browse(house):
    """Return what opens a browser."""
    return lambda name=None: browsing(f"http://127.0.0.1:{house.bridge.web.port}", name)


class TestSigningIn:
    async def test_nobody_sees_a_page_without_signing_in(self, browse):
        """Each page leads to the form, and back to the page afterwards."""
        async with browse() as browser:
            for method, path, _, _ in VIEWS:
                if method == "GET":
                    said = await browser.get(path.replace("{id}", "X"))
                    assert "/login" in {action for action, _ in forms_of(said)}, path
            page = await browser.get("/gateways")
            said = await browser.submit(page, "/login", name="lena", password="lena-password")
            assert "main" in text_of(said)

    async def test_wrong_names_and_passwords_and_those_who_may_only_send(self, browse):
        async with browse() as browser:
            for name, password in (("lena", "x"), ("nobody", "x"), ("zabbix", "zabbix-password"), ("lena", "")):
                said = await browser.sign_in(name, password or "\0")
                assert (said.status, "Wrong name or password." in said.text) == (401, True)

    async def test_an_address_that_guesses_is_not_listened_to(self, browse):
        async with browse() as browser:
            codes = [(await browser.sign_in("lena", f"guess {n}")).status for n in range(11)]
            assert codes == [401] * 10 + [429]
            assert (await browser.sign_in("lena")).status == 429

    async def test_signing_out_ends_the_session_for_a_stolen_cookie_too(self, house, browse):
        async with browse("lena") as browser, browse() as thief:
            url = URL(browser.url)
            thief.http.cookie_jar.update_cookies(browser.http.cookie_jar.filter_cookies(url), url)
            assert "Sign out" in (await thief.get("/")).text
            await browser.submit(await browser.get("/"), "/logout")
            assert "Sign out" not in (await thief.get("/")).text

    async def test_another_password_or_no_user_any_more_ends_the_session(self, house, browse):
        async with browse("lena") as browser:
            config = house.bridge._config
            kept = [user for user in config.users if user.name != "lena"]
            await house.bridge.reload(config.model_copy(update={"users": kept}))
            assert "Sign out" not in (await browser.get("/")).text

    async def test_a_session_that_nobody_uses_ends(self, house, browse):
        async with browse("lena") as browser:
            house.clock.advance(9 * 3600)
            assert "Sign out" not in (await browser.get("/")).text

    async def test_cookies_are_for_the_server_alone(self, browse):
        async with browse() as browser:
            page = await browser.get("/login")
            fields = dict(forms_of(page))["/login"]
            said = await browser.post(
                "/login", {**fields, "name": "lena", "password": "lena-password"}, allow_redirects=False
            )
            cookie = next(value for value in said.headers.getall("Set-Cookie") if value.startswith("mailbridge="))
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie

    async def test_behind_a_proxy_with_tls_cookies_never_travel_in_the_clear(self):
        async with (
            running_house(users=users_section(), web={"url": "https://sms.example.org"}) as house,
            browsing(f"http://127.0.0.1:{house.bridge.web.port}") as browser,
        ):
            said = await browser.get("/login")
            (cookie,) = said.headers.getall("Set-Cookie")
            assert cookie.startswith("__Host-mailbridge-visit=")
            assert "Secure" in cookie

    @pytest.mark.parametrize("back", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x"])
    async def test_nobody_is_sent_elsewhere_after_signing_in(self, browse, back):
        async with browse() as browser:
            fields = dict(forms_of(await browser.get("/login")))["/login"]
            said = await browser.post(
                "/login", {**fields, "back": back, "name": "lena", "password": "lena-password"}, allow_redirects=False
            )
            assert (said.status, said.headers["Location"]) == (303, "/")


class TestForms:
    @pytest.mark.parametrize("token", [None, "", "forged"])
    async def test_a_form_without_its_token_changes_nothing(self, house, browse, token):
        """A stolen or borrowed cookie alone sends nothing."""
        async with browse("oleg") as browser:
            fields = {"to": PHONE, "text": "x"} | ({} if token is None else {"csrf": token})
            said = await browser.post("/send", fields)
            assert said.status == 403
        assert await house.store.count_states() == {}

    @pytest.mark.parametrize(
        "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
    )
    async def test_a_form_from_another_site_changes_nothing(self, house, browse, headers):
        async with browse("oleg") as browser:
            fields = dict(forms_of(await browser.get("/send")))["/send"]
            said = await browser.post("/send", {**fields, "to": PHONE, "text": "x"}, headers=headers)
            assert said.status == 403
        assert await house.store.count_states() == {}

    async def test_roles_may_do_what_they_may(self, house, browse):
        async with browse("lena") as lena, browse("oleg") as oleg, browse("anna") as anna:
            assert (await lena.get("/send")).status == 403
            assert (await lena.get("/settings")).status == 403
            assert (await oleg.get("/settings")).status == 403
            assert (await anna.get("/settings")).status == 200
            (row,) = await house.rows(await house.mail(PHONE, text="disk"))
            token = dict(forms_of(await lena.get("/")))["/logout"]["csrf"]
            assert (await lena.post(f"/messages/{row.id}/cancel", {"csrf": token})).status == 403
            assert (await lena.post("/gateways/main/suspend", {"csrf": token})).status == 403
            assert "/gateways/main/suspend" not in dict(forms_of(await lena.get("/gateways")))
            assert "/gateways/main/suspend" in dict(forms_of(await oleg.get("/gateways")))

    async def test_a_broken_browser_changes_nothing(self, house, browse):
        async with browse("oleg") as browser:
            for path in ("/send", "/try", "/login", "/logout", "/send/count"):
                for body, kind in (
                    (b"\xff\0=%zz&&&=", "application/x-www-form-urlencoded"),
                    (b"{}", "application/json"),
                ):
                    said = await browser.http.post(
                        f"{browser.url}{path}", data=body, headers={"Content-Type": kind}, allow_redirects=False
                    )
                    assert 400 <= said.status < 500, (path, body)
        assert await house.store.count_states() == {}


class TestPages:
    async def test_every_page_is_all_ours_and_has_nothing_inline(self, house, browse):
        """No other host, no inline script or style, a strict policy; every page of the desk."""
        mail_id = id_of(await house.mail(PHONE, text="disk", subject=HOSTILE[:40].encode("ascii", "replace").decode()))
        async with browse("anna") as browser:
            for method, path, _, _ in VIEWS:
                if method != "GET" or path == "/feed":
                    continue
                said = await browser.get(path.replace("{id}", f"{mail_id}.1"))
                assert said.status == 200, path
                policy = said.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
                assert "unsafe" not in policy
                if "html" not in said.headers["Content-Type"]:
                    continue
                assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", said.text.replace("&#", "")), path
                assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", said.text), path
                assert all(re.fullmatch(r'<script defer src="/static/[a-z.]+\?v=[0-9a-f]+">', tag)
                           for tag in re.findall(r"<script[^>]*>", said.text)), path  # fmt: skip

    async def test_what_strangers_write_is_shown_as_text_everywhere(self, house, browse):
        """Subject, text, sender, the gateway's words: as written, but for marks that turn the reading direction."""
        async with browse("anna") as browser:
            page = await browser.get("/send")
            said = await browser.submit(page, "/send", to=PHONE, text=HOSTILE, sender="<b>x</b>")
            assert said.status == 200
            row = await house.newest()
            for path in ("/", f"/messages/{row.id}", "/?q=%3Cscript%3E"):
                said = await browser.get(path)
                assert "<script>alert" not in said.text
                assert "<img" not in said.text
                assert "\u202e" not in said.text
                assert "{{7*7}}" in said.text or path != f"/messages/{row.id}"
            said = await browser.get('/?q="><script>alert(1)</script>&sender=<b>&phone=&state=nosuch')
            assert "<script>alert" not in said.text

    async def test_the_list_is_searched_filtered_and_paged(self, house, browse):
        for n in range(55):
            await house.mail(PHONE, text=f"alert {n}")
            await house.pass_s(1)
        await house.mail("+79990000007", text="backup done", sender="cron@example.org")
        async with browse("lena") as browser:
            assert "backup done" in text_of(await browser.get("/"))
            assert "alert 54" not in text_of(await browser.get("/?q=BACKUP"))
            found = text_of(await browser.get("/?sender=cron@*&since=1h"))
            assert "backup done" in found
            assert "alert" not in found
            page = await browser.get("/")
            older = re.search(r'rel="next" href="([^"]+)"', page.text)[1].replace("&amp;", "&")
            said = text_of(await browser.get(older))
            assert "alert 0 " in said
            assert "alert 54" not in said
            csv = (await browser.get("/messages.csv?phone=89990000007")).text
            assert csv.splitlines()[0].startswith("id,mail,phone")
            assert len(csv.splitlines()) == 2
            for wrong in ("/?since=yesterday", "/?phone=nobody", "/?cursor=x", "/?state=lost"):
                assert (await browser.get(wrong)).status == 400

    async def test_a_message_tells_its_whole_story(self, house, browse):
        (row,) = await house.rows(await house.mail(PHONE, text="disk full", subject="PROBLEM"))
        await house.state(row.id, State.DELIVERED)
        async with browse("oleg") as browser:
            page = await browser.get(f"/messages/{row.id}")
            story = text_of(page)
            for word in ("received", "queued", "attempt", "sent", "delivered", "nagios@example.org", "disk full",
                         "Subject: PROBLEM", "PROBLEM", PHONE, "generic"):  # fmt: skip
                assert word in story, word
            assert story.index("received") < story.index("attempt")
            said = await browser.submit(page, f"/messages/{row.id}/resend")
            assert said.status == 200
            assert "disk full" in text_of(said)
        assert sum((await house.store.count_states()).values()) == 2
        assert (await house.store.history((await house.newest()).id))[0].detail["by"] == "desk:oleg"

    async def test_a_message_names_the_line_of_the_rule_that_decided(self):
        """Where the rule stands, as the configuration in force has it."""
        rules = [{"name": "other", "match": {"subject": "*x*"}}, {"name": "disks", "match": {"subject": "*disk*"}}]
        async with (
            running_house(users=users_section(), rules=rules) as house,
            browsing(f"http://127.0.0.1:{house.bridge.web.port}", "lena") as browser,
        ):
            (row,) = await house.rows(await house.mail(PHONE, text="full", subject="disk"))
            assert "disks (rules[1])" in text_of(await browser.get(f"/messages/{row.id}"))

    async def test_an_alert_somebody_has_to_answer_is_answered_here(self):
        """Who may operate has a button; then it is gone, the page says who it was, and nobody can answer twice."""
        people = {
            "people": {"anna": {"phone": PHONE}},
            "escalation": {"anna": {"after": "5m", "then": [{"call": "anna"}]}},
        }
        async with (
            running_house(users=users_section(), **people) as house,
            browsing(f"http://127.0.0.1:{house.bridge.web.port}", "lena") as lena,
            browsing(f"http://127.0.0.1:{house.bridge.web.port}", "oleg") as oleg,
        ):
            (row,) = await house.rows(await house.mail("anna@sms.local", text="down"))
            where = f"/messages/{row.id}/acknowledge"
            looked = await lena.get(f"/messages/{row.id}")
            assert "Somebody has to answer: anna" in text_of(looked)
            assert where not in dict(forms_of(looked))
            page = await oleg.get(f"/messages/{row.id}")
            done = await oleg.submit(page, where)
            assert (done.status, "desk:oleg" in text_of(done), where in dict(forms_of(done))) == (200, True, False)
            again = await oleg.submit(page, where)
            assert again.status == 409

    async def test_what_cannot_be_done_is_said(self, house, browse):
        (row,) = await house.rows(await house.mail(PHONE, text="disk"))
        await house.state(row.id, State.DELIVERED)
        async with browse("oleg") as browser:
            token = dict(forms_of(await browser.get("/")))["/logout"]["csrf"]
            assert (await browser.post(f"/messages/{row.id}/hold", {"csrf": token})).status == 409
            assert (await browser.post(f"/messages/{row.id}/explode", {"csrf": token})).status == 404
            assert (await browser.get("/messages/NOSUCH")).status == 404
            assert (await browser.post("/gateways/nosuch/suspend", {"csrf": token})).status == 404

    async def test_sending_counts_parts_and_price_and_sends_once(self, house, browse):
        async with browse("oleg") as browser:
            page = await browser.get("/send")
            fields = dict(forms_of(page))["/send"]
            text = "Привет, " * 20
            counted = await browser.post("/send/count", {**fields, "to": PHONE, "text": text})
            assert "ucs2" in counted.text
            assert "3 parts" in text_of(counted)
            assert re.search(r"\d+\.\d\d", text_of(counted))
            for _ in range(2):
                said = await browser.post("/send", {**fields, "to": f"{PHONE}\noncall", "text": text})
                assert said.status == 200
            wrong = await browser.submit(page, "/send", to="nobody", text="x", key="another")
            assert wrong.status == 422
            assert "550 5.1.1" in wrong.text
        assert sum((await house.store.count_states()).values()) == 2

    async def test_the_tester_explains_a_mail(self, browse):
        async with browse("lena") as browser:
            page = await browser.get("/try")
            mail = "From: nagios@example.org\nSubject: PROBLEM\n\ndisk full"
            said = text_of(await browser.submit(page, "/try", mail=mail, to="89991234567@sms.local"))
            assert "accepted" in said
            assert "disk full" in said
            said = text_of(await browser.submit(page, "/try", mail=mail, client="192.0.2.1"))
            assert "refused" in said
            assert "smtp.listen[0].allow" in said

    async def test_gateways_can_be_stopped_and_started(self, house, browse):
        async with browse("oleg") as browser:
            said = await browser.submit(await browser.get("/gateways"), "/gateways/main/suspend")
            assert "suspended by hand" in text_of(said)
            assert house.bridge.board.states["main"].suspended
            said = await browser.submit(said, "/gateways/main/resume")
            assert "suspended by hand" not in text_of(said)

    async def test_refused_mails_come_with_the_line_that_would_allow_them(self, house, browse):
        await house.mail("+4915112345678", text="x")
        await house.mail("nobody@elsewhere.example", text="x")
        async with browse("lena") as browser:
            said = text_of(await browser.get("/refused"))
        assert 'numbers: {allow: ["+4915112345678"]}' in said
        assert "smtp: {domains: {elsewhere.example: sms}}" in said

    async def test_plots_duty_and_settings(self, house, browse):
        (row,) = await house.rows(await house.mail(PHONE, text="disk"))
        await house.state(row.id, State.DELIVERED)
        async with browse("anna") as browser:
            for days in (1, 7, 30):
                said = await browser.get(f"/plots?days={days}")
                assert said.text.count("<svg") == 5
                assert 'class="delivered"' in said.text
            assert "+79991112233" in text_of(await browser.get("/oncall"))
            settings = (await browser.get("/settings")).text
            assert "password: &#34;***&#34;" in settings
            assert "argon2id" not in settings

    async def test_both_languages_and_both_lights(self, browse):
        async with browse("lena") as browser:
            assert "Messages" in text_of(await browser.get("/"))
            russian = await browser.get("/", headers={"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.8"})
            assert "Сообщения" in text_of(russian)
            said = await browser.post("/look", {"language": "ru", "back": "/"})
            assert 'lang="ru"' in said.text
            said = await browser.post("/look", {"theme": "dark", "back": "/gateways"})
            assert 'data-theme="dark"' in said.text
            assert "Шлюзы" in text_of(said)

    async def test_the_first_view_is_light(self, house, browse):
        """Page, style, scripts: under 150 KB in all, with fifty messages on it."""
        for n in range(50):
            await house.mail(PHONE, text=f"{n} " + "disk full on db1 " * 8)
        async with browse("lena") as browser:
            page = await browser.get("/")
            files = [await browser.get(path) for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)]
        assert len(files) == 3
        assert sum(len(said.text.encode()) for said in (page, *files)) < 150_000


def test_every_word_of_the_pages_is_known_in_russian():
    """What stands in templates, and what views and errors say."""
    said = set()
    for file in TEMPLATES.glob("*.html"):
        said |= set(re.findall(r"""\bt\(["']([^"']+)["']\)""", file.read_text(encoding="utf-8")))
    source = (TEMPLATES.parent / "views.py").read_text(encoding="utf-8") + (TEMPLATES.parent / "routes.py").read_text(
        encoding="utf-8"
    )
    said |= set(re.findall(r"""visit\.say\("([^"]+)"\)""", source))
    said |= set(re.findall(r"""Wrong\(\d+, "([^"]+)\"""", source))
    said |= set(re.findall(r"""visit\.page\(\s*"\w+\.html", "([^"]+)\"""", source))
    said |= {state.value for state in State}
    assert len(said) > 80
    assert sorted(word for word in said if not words.knows(word)) == []


@pytest.mark.parametrize(
    ("cookie", "accepted", "language"),
    [(None, "", "en"), (None, "ru", "ru"), (None, "de, ru;q=0.5, en;q=0.4", "ru"), ("en", "ru", "en"),
     ("xx", "ru;q=x, en", "en"), (None, "," * 500, "en"), (None, "*", "en")],
)  # fmt: skip
def test_the_language_is_chosen(cookie, accepted, language):
    """What was chosen wins over what the browser asks for."""
    assert words.choose(cookie, accepted) == language


def test_marks_that_steer_the_eye_are_shown_as_signs():
    """Controls, direction marks and lone surrogates; line ends and tabs stay."""
    assert shown("a\u202eb\x1b[31m\u2066c\n\td\ud800") == "a\ufffdb\ufffd[31m\ufffdc\n\td\ufffd"


def test_the_licence_of_what_is_not_ours_stands_beside_it():
    """Htmx is from its npm package, as it is there."""
    folder = TEMPLATES.parent / "static"
    assert {file.name for file in folder.iterdir()} == {*STATIC, "LICENSE.htmx"}
    assert "Zero-Clause BSD" in (folder / "LICENSE.htmx").read_text()

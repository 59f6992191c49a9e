"""The desk in the distribution's Chromium: live, in both languages, dark, on a phone, by keyboard alone.

With ``MAILBRIDGE_SCREENSHOTS=docs/images`` the pictures of the documents are taken anew.
"""

import os
import re
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mailbridge.model.state import State
from tests.support.desk import users_section
from tests.support.house import id_of, running_house

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PHONE = "+79991234567"
SHOTS = os.environ.get("MAILBRIDGE_SCREENSHOTS")
#: what axe-core calls worth mending
SERIOUS = {"serious", "critical"}


def chromium():
    """Return where the distribution's Chromium is, or skip."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed (scripts/install-test-programs)")
    return found


@pytest.fixture
async def house():
    """Return a running house whose bridge has a desk."""
    people = {"people": {"anna": {"phone": "+79991112233"}}, "aliases": {"oncall": {"rota": "ops"}}}
    rotas = {"ops": {"start": "2026-01-05 09:00", "members": ["anna"], "timezone": "UTC"}}
    async with running_house(users=users_section(), rotas=rotas, **people) as running:
        yield running


@asynccontextmanager
async def opened(house, **context):
    """Open a page in a browser that complains of every error on it, and of every request to anywhere else."""
    base = f"http://127.0.0.1:{house.bridge.web.port}"
    wrong = []
    async with playwright.async_playwright() as player:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await player.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            own = await browser.new_context(base_url=base, locale=context.pop("locale", "en-GB"), **context)
            page = await own.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            page.on("request", lambda asked: None if asked.url.startswith(base) else wrong.append(asked.url))
            yield page
        finally:
            await browser.close()
    assert wrong == []


async def sign_in(page, name="anna"):
    """Sign in as a person does."""
    await page.goto("/")
    await page.fill("#name", name)
    await page.fill("#password", f"{name}-password")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/")


async def shoot(page, name):
    """Take the picture *name* of the documents, where they are asked for."""
    if SHOTS:
        await page.screenshot(path=str(Path(SHOTS) / f"desk-{name}.png"), full_page=False)


async def test_a_mail_arrives_live_and_its_story_is_read(house):
    """Signed in, the list shows a mail as it comes in; its page tells all; it is sent once more, and so is a text."""
    async with opened(house, viewport={"width": 1200, "height": 760}) as page:
        await sign_in(page)
        await page.wait_for_selector("body.is-live")
        (row,) = await house.rows(await house.mail(PHONE, text="/var 97 % used on db1", subject="PROBLEM: disk"))
        await page.wait_for_selector("text=/var 97 % used on db1")
        await house.state(row.id, State.DELIVERED)
        await page.wait_for_selector("td .state.delivered")
        for n in range(8):
            await house.mail(f"+7999000000{n}", text=f"load is {n}.5", subject="WARNING: cron1")
        await page.wait_for_selector("text=load is 7.5")
        await shoot(page, "list")
        await page.click(f'a[href="/messages/{row.id}"]')
        await page.wait_for_selector("text=Timeline")
        await shoot(page, "message")
        await page.click("button:has-text('resend')")
        await page.wait_for_selector("text=Timeline")
        assert row.id not in page.url

        await page.goto("/send")
        await page.fill("#to", PHONE)
        await page.type("#text", "Привет, диск полон")
        await page.wait_for_selector("#count strong")
        assert "1 part" in await page.inner_text("#count")
        await shoot(page, "send")
        await page.click("main button:has-text('Send')")
        await page.wait_for_selector("text=Queued")

        await page.goto("/try")
        await page.fill("#mail", "From: nagios@example.org\nSubject: PROBLEM\n\ndisk full")
        await page.click("button:has-text('Explain')")
        await page.wait_for_selector(".state.accepted")
        await shoot(page, "try")
        await page.goto("/plots?days=1")
        await page.wait_for_selector("svg .delivered")
        await shoot(page, "plots")
    assert sum((await house.store.count_states()).values()) == 11


async def test_russian_dark_and_on_a_phone(house):
    """The browser's language and light are taken over; nothing is wider than a phone's screen."""
    await house.mail(PHONE, text="Диск /var заполнен на 97 %" * 3, subject="ПРОБЛЕМА")
    phone = {"viewport": {"width": 375, "height": 760}, "color_scheme": "dark", "locale": "ru-RU", "has_touch": True}
    async with opened(house, **phone) as page:
        await sign_in(page)
        assert await page.title() == "Сообщения · mailbridge"
        back = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert all(int(part) < 80 for part in re.findall(r"\d+", back)[:3]), back
        for path in ("/", "/send", "/try", "/gateways", "/plots", "/refused", "/oncall", "/settings"):
            await page.goto(path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 375, (path, width)
        await page.goto("/")
        await shoot(page, "phone")
        await page.click("button[name=theme]")
        await page.wait_for_selector("html[data-theme]")
        await page.click("button:has-text('English')")
        await page.wait_for_selector("h1:has-text('Messages')")


async def test_by_keyboard_alone(house):
    """Skip link, search, a message, its button: without a pointer, and it is always seen where one is."""
    mail_id = id_of(await house.mail(PHONE, text="disk full"))
    async with opened(house) as page:
        await sign_in(page, "oleg")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        await page.keyboard.press("/")
        assert await page.evaluate("document.activeElement.id") == "q"
        await page.keyboard.type("full")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?q=full**")
        for _ in range(40):
            await page.keyboard.press("Tab")
            if mail_id in (await page.evaluate("document.activeElement.href || ''")):
                break
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=Timeline")


async def test_without_javascript_everything_is_read(house):
    """The list, a message and the plots."""
    (row,) = await house.rows(await house.mail(PHONE, text="disk full"))
    async with opened(house, java_script_enabled=False) as page:
        await sign_in(page, "lena")
        assert "disk full" in await page.inner_text("#list")
        await page.goto(f"/messages/{row.id}")
        assert "attempt" in await page.inner_text("ol.timeline")
        await page.goto("/plots")
        assert await page.locator("svg.plot").count() == 5


@pytest.mark.parametrize("light", ["light", "dark"])
async def test_axe_finds_nothing_serious(house, light):
    """Every page, in both lights."""
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")
    mail_id = id_of(await house.mail(PHONE, text="disk full"))
    await house.mail("+4915112345678", text="x")
    # axe is put into the page, which the desk's policy does not let anybody do
    async with opened(house, color_scheme=light, bypass_csp=True) as page:
        await page.goto("/login")
        found = {"/login": await axe.Axe().run(page)}
        await sign_in(page)
        for path in (
            "/",
            f"/messages/{mail_id}.1",
            "/send",
            "/try",
            "/gateways",
            "/plots",
            "/refused",
            "/oncall",
            "/settings",
        ):
            await page.goto(path)
            found[path] = await axe.Axe().run(page)
    bad = {
        (path, one["id"], node["html"][:120])
        for path, results in found.items()
        for one in results.response["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    }
    assert bad == set()

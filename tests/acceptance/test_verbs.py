"""The verbs an operator types, with a queue of their own and a gateway of a few lines; no daemon runs."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from mailbridge.cli.main import cli
from mailbridge.cli.runner import in_words
from mailbridge.errors import MailbridgeError
from tests.support.bridge import base_config
from tests.support.plain_smsc import PlainSmsc, plain_smsc

KEYS = {
    "id", "mail", "phone", "channel", "sender", "text", "parts", "alphabet", "state", "attempts", "gateway",
    "gateway_id", "price", "error", "rule", "profile", "created_at", "updated_at", "next_attempt_at", "expires_at",
}  # fmt: skip
EML = "Subject: Авария\r\nX-SMS-Sender: BOB\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nСервер упал\r\n".encode()


@dataclass
class Desk:
    """A configuration, its gateway, and a shell."""

    folder: Path
    gateway: PlainSmsc

    async def run(self, *words: str, text: str | bytes | None = None) -> Result:
        """Run a verb with the configuration."""
        return await self.bare(*words, "--config", str(self.folder / "config.yaml"), text=text)

    async def bare(self, *words: str, text: str | bytes | None = None) -> Result:
        """Run a verb, out of the loop: it has one of its own."""
        return await asyncio.to_thread(CliRunner().invoke, cli, words, text)

    async def data(self, *words: str) -> Any:
        """Run a verb with --json, which must succeed, and return what it printed."""
        result = await self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk with an empty queue."""
    async with plain_smsc() as gateway:
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(base_config(tmp_path, gateway.url)))
        (tmp_path / "mail.eml").write_bytes(EML)
        yield Desk(tmp_path, gateway)


async def test_a_text_goes_through_the_queue_and_its_life_can_be_steered(desk):
    """Send, list, show, hold, release, cancel, retry: the shapes and states of docs/reference."""
    (sent,) = await desk.data("send", "8 (999) 123-45-67", "hi there")
    one, two = await desk.data("send", "79991234568", "+79991234569", "to two")
    listed = await desk.data("queue", "list")
    (found,) = await desk.data("queue", "list", "--phone", "8-999-123-45-67", "--state", "queued", "--since", "1h")
    shown = await desk.data("queue", "show", sent["id"])
    both = await desk.data("queue", "show", one["mail"])
    assert await desk.data("queue", "show", sent["id"].lower()) == shown
    states = [
        (await desk.data("queue", verb, sent["id"]))[0]["state"] for verb in ("hold", "release", "cancel", "retry")
    ]
    history = (await desk.data("queue", "show", sent["id"]))["history"]

    assert set(sent) >= KEYS
    assert (sent["phone"], sent["text"], sent["state"], sent["attempts"]) == ("+79991234567", "hi there", "queued", 0)
    assert sent["id"] == f"{sent['mail']}.1"
    assert {row["id"] for row in listed} == {sent["id"], one["id"], two["id"]}
    assert listed[-1]["id"] == sent["id"]
    assert found["id"] == sent["id"]
    assert set(shown) >= KEYS | {"history"}
    assert [row["id"] for row in both] == [one["id"], two["id"]]
    assert states == ["held", "queued", "cancelled", "queued"]
    assert [set(entry) for entry in history] == [{"at", "event", "state", "detail"}] * 5
    assert desk.gateway.asked == []


@pytest.mark.parametrize(
    "words",
    [("queue", "show", "NOSUCH"), ("queue", "hold", "NOSUCH.1"), ("status", "NOSUCH"), ("send", "12", "text")],
)
async def test_what_cannot_be_done_is_exit_1(desk, words):
    """The thing asked for failed: words on stderr, nothing on stdout."""
    result = await desk.run(*words)
    code = 1 if isinstance(result.exception, MailbridgeError) else result.exit_code
    assert code == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [("queue", "list", "--state", "lost"), ("queue", "list", "--since", "yesterday"), ("queue", "list", "--nosuch"),
     ("send", "79991234567"), ("preview",), ("gateways", "suspend", "nosuch"), ("balance", "--gateway", "nosuch")],
)  # fmt: skip
async def test_wrong_usage_is_exit_2(desk, words):
    """Bad options and names are told from failures."""
    assert (await desk.run(*words)).exit_code == 2


async def test_preview_says_what_would_be_sent_and_what_it_costs(desk):
    """The shape of docs/reference/json.md, the price only when asked for; nothing is sent."""
    desk.gateway.answers["send"] = lambda _form: {"cost": 2.5, "cnt": "1"}
    words = ("preview", str(desk.folder / "mail.eml"), "--to", "79991234567@sms.local")
    free = await desk.data(*words)
    asked_before = list(desk.gateway.asked)
    priced = await desk.data(*words, "--cost")
    human = await desk.run("preview", "--to", "79991234567@sms.local", text=EML)
    refused = await desk.run("preview", "--to", "bob@sms.local", text=EML)

    (message,) = free["messages"]
    assert set(message) >= {"phone", "channel", "sender", "text", "translit", "alphabet", "parts", "rule", "profile"}
    assert (message["sender"], message["text"], message["alphabet"]) == ("BOB", "Авария: Сервер упал", "ucs2")
    assert "price" not in message
    assert asked_before == []
    assert (priced["messages"][0]["price"], priced["messages"][0]["currency"]) == ("2.50", "RUR")
    assert [form["cost"] for form in desk.gateway.forms()] == ["1"]
    assert human.exit_code == 0
    assert "+79991234567" in human.stdout
    assert "Авария: Сервер упал" in human.stdout
    assert refused.exit_code == 1
    assert "550 5.1.1" in refused.stderr


async def test_export_is_csv_or_json_lines(desk):
    """Every message, a formula of an outsider's as text, and the filters of list."""
    await desk.data("send", "79991234567", "=cmd|' /C calc'!A0")
    await desk.data("send", "79991234568", 'Привет, "мир"\nвторая строка')
    table = list(csv.DictReader(io.StringIO((await desk.run("queue", "export")).stdout)))
    lines = (await desk.run("queue", "export", "--format", "jsonl", "--phone", "79991234568")).stdout.splitlines()
    written = await desk.run("queue", "export", "--output", str(desk.folder / "out.csv"))

    assert [row["phone"] for row in table] == ["+79991234568", "+79991234567"]
    assert table[0]["text"] == 'Привет, "мир"\nвторая строка'
    assert table[1]["text"] == "'=cmd|' /C calc'!A0"
    assert [set(json.loads(line)) >= KEYS for line in lines] == [True]
    assert written.exit_code == 0
    assert (desk.folder / "out.csv").read_text().count("+7999") == 2


async def test_gateways_can_be_looked_at_and_stopped_by_hand(desk):
    """Suspend and resume are kept in the queue, where the daemon looks."""
    (before,) = await desk.data("gateways")
    suspended = await desk.data("gateways", "suspend", "main")
    (after,) = await desk.data("gateways")
    resumed = await desk.data("gateways", "resume", "main")

    assert (before["name"], before["state"], before["callback"]) == ("main", "up", None)
    assert (suspended["state"], after["state"], resumed["state"]) == ("suspended", "suspended", "up")


async def test_balance_is_a_decimal_string(desk):
    """What the gateway refuses is exit 1 with its own words."""
    plain = await desk.data("balance")
    desk.gateway.answers["balance"] = lambda _form: {"credit": "100", "balance": "5.1", "currency": "RUR"}
    full = await desk.data("balance")
    desk.gateway.answers["balance"] = lambda _form: {"error": "authorise error", "error_code": 2}
    refused = await desk.run("balance")

    assert plain == {"gateway": "main", "balance": "12.50", "currency": "RUR"}
    assert full == {"gateway": "main", "balance": "5.10", "currency": "RUR", "credit": "100.00"}
    assert refused.exit_code == 1
    assert "authorise error" in refused.stderr


async def test_the_configuration_of_a_group_is_that_of_its_verbs(desk):
    """``mailbridge queue --config X list`` and ``mailbridge queue list --config X`` are the same."""
    path = str(desk.folder / "config.yaml")
    for words in (("queue", "--config", path, "list"), ("gateways", "--config", path, "suspend", "main"),
                  ("config", "--config", path, "show")):  # fmt: skip
        result = await desk.bare(*words)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_price_that_is_not_to_be_had_is_exit_1(desk, form):
    """The preview is shown all the same; a script can tell that the price is not in it."""
    desk.gateway.answers["send"] = lambda _form: {"error": "invalid number", "error_code": 7}
    result = await desk.run("preview", "--to", "79991234567@sms.local", "--cost", *form, text=EML)

    assert result.exit_code == 1
    assert "Авария: Сервер упал" in result.stdout
    assert "no price: 7 invalid number" in result.stderr


@pytest.mark.parametrize(
    ("words", "begins"),
    [(("version",), "mailbridge "), (("hash-password",), "$argon2id$"), (("config", "example"), "# The configuration"),
     (("config", "schema", "--json"), "{")],
)  # fmt: skip
async def test_every_verb_takes_a_configuration(desk, words, begins):
    """A script may give ``--config`` to each verb, also to one that reads none."""
    result = await desk.run(*words, text="secret\n")

    assert (result.exit_code, result.stdout[: len(begins)]) == (0, begins)


@pytest.mark.parametrize("verb", ["demo", "simulator", "serve", "preview", "send", "check", "balance", "status"])
async def test_every_help_names_the_configuration(desk, verb):
    """What a verb takes stands in its help."""
    assert "--config FILE" in (await desk.bare(verb, "--help")).stdout


async def test_an_export_in_json_is_lines(desk):
    """``--json`` is the usual word for ``--format jsonl``."""
    await desk.run("send", "79990000001", "one")
    await desk.run("send", "79990000002", "two")
    lines = (await desk.run("queue", "export", "--json")).stdout.splitlines()

    assert [json.loads(line)["text"] for line in lines] == ["two", "one"]
    assert (await desk.run("queue", "export", "--format", "jsonl")).stdout.splitlines() == lines


async def test_hash_password_reads_one_line_and_prints_the_hash_alone():
    """The hash proves the password; an empty one is refused."""
    hashed = await asyncio.to_thread(CliRunner().invoke, cli, ["hash-password"], "s3cret\nmore\n")
    empty = await asyncio.to_thread(CliRunner().invoke, cli, ["hash-password"], "\n")

    assert hashed.stdout.startswith("$argon2id$")
    assert hashed.stdout.count("\n") == 1
    assert PasswordHasher().verify(hashed.stdout.strip(), "s3cret")
    assert empty.exit_code == 2


@pytest.mark.parametrize(
    ("answer", "code", "word"),
    [
        (
            {"ok": True, "checks": {"queue": "ok", "listeners": "ok", "worker": "ok"}, "gateways": {"main": "up"}},
            0,
            "OK",
        ),
        ({"ok": True, "checks": {"queue": "ok"}, "gateways": {"main": "suspended"}}, 1, "WARNING"),
        ({"ok": False, "checks": {"queue": "StoreError"}, "gateways": {}}, 2, "CRITICAL"),
        ({"hello": "world"}, 3, "UNKNOWN"),
        (None, 2, "CRITICAL"),
    ],
)
async def test_check_is_a_nagios_plugin(desk, answer, code, word):
    """One status line with perfdata, exit 0 to 3."""

    async def readyz(_request: web.Request) -> web.Response:
        return web.json_response(answer, status=200 if answer.get("ok") else 503)

    app = web.Application()
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    config = base_config(desk.folder, desk.gateway.url)
    config["web"]["listen"] = f"127.0.0.1:{runner.addresses[0][1]}"
    (desk.folder / "config.yaml").write_text(yaml.safe_dump(config))
    if answer is None:
        await runner.cleanup()
    result = await desk.run("check")
    await runner.cleanup()

    assert (result.exit_code, result.stdout.split(" ")[0], result.stdout.count("\n")) == (code, word, 1)


@pytest.mark.parametrize("words", [["--nonsense"], ["-w", "soon"], ["extra"]])
async def test_check_called_wrongly_is_unknown(words):
    """Not 2, which a monitoring system takes for CRITICAL; the words on stdout, which is all it reads."""
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["check", *words])
    assert (result.exit_code, result.stdout.split(" ")[0], result.stdout.count("\n")) == (3, "UNKNOWN", 1)


async def test_check_has_the_usual_options():
    """``-V`` and the short names plugins have."""
    version = await asyncio.to_thread(CliRunner().invoke, cli, ["check", "-V"])
    usage = await asyncio.to_thread(CliRunner().invoke, cli, ["check", "--help"])
    assert (version.exit_code, version.stdout.split()[0]) == (0, "check")
    assert all(f"-{letter}, " in usage.stdout for letter in "wctV")


async def test_check_with_a_bad_configuration_is_unknown(tmp_path):
    """A plugin that cannot ask says so with 3."""
    (tmp_path / "bad.yaml").write_text("smtp: [\n")
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["check", "--config", str(tmp_path / "bad.yaml")])
    assert (result.exit_code, result.stdout.split(" ")[0]) == (3, "UNKNOWN")


async def test_an_id_may_be_typed_in_lower_case(desk):
    """Ids hold no two letters that differ by case alone."""
    (message,) = await desk.data("send", "+79991234567", "text")
    typed = message["id"].lower()
    held = await desk.data("queue", "hold", typed)
    await desk.run("queue", "cancel", typed.partition(".")[0])
    (asked,) = await desk.data("status", typed)

    assert [row["id"] for row in held] == [message["id"]]
    assert (asked["id"], asked["state"]) == (message["id"], "cancelled")


async def test_version_is_an_option_too():
    """``mailbridge --version``, as every program has it."""
    option = await asyncio.to_thread(CliRunner().invoke, cli, ["--version"])
    verb = await asyncio.to_thread(CliRunner().invoke, cli, ["version"])

    assert option.exit_code == 0
    assert option.stdout == verb.stdout


async def test_a_port_in_use_is_told_in_words():
    """The address and the system's words, no number of an error."""
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(OSError, match="in use") as caught:
            await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", port)

    assert in_words(caught.value) == f"127.0.0.1:{port}: address already in use"
    assert (
        in_words(FileNotFoundError(2, "No such file or directory", "key.pem")) == "key.pem: No such file or directory"
    )


async def test_ack_answers_an_alert_and_lists_what_waits(desk: Desk, tmp_path: Path) -> None:
    """By mail, message or number; what is known already, or nobody's, is exit 1."""
    from mailbridge.queue.connect import open_store
    from mailbridge.queue.escalations import Escalate
    from tests.support.queue import new_mail, new_message

    store = open_store(f"sqlite:///{tmp_path}/queue.db")
    await store.open()
    now = datetime.now(UTC)
    for id_, number in (("M000000001", "4711"), ("M000000002", "4712"), ("M000000003", "4713")):
        wanted = Escalate(chain="ops", after_s=300, numbers=(number,))
        message = new_message(f"{id_}.1", text=f"down\nReply OK {number}", escalate=wanted)
        await store.put(new_mail(id_, message, subject="Авария", received_at=now))
    await store.close()
    waiting = await desk.data("ack")
    assert [one["mail"] for one in waiting] == ["M000000003", "M000000002", "M000000001"]
    assert set(waiting[0]) == {
        "mail", "escalation", "number", "status", "steps", "by", "subject", "opened_at", "due_at", "ended_at", "messages",
    }  # fmt: skip
    table = await desk.run("ack")
    assert "Авария" in table.output
    assert "4712" in table.output
    for word in ("m000000001", "M000000002.1", "4713"):
        done = await desk.run("ack", word)
        assert (done.exit_code, "acknowledged by cli:" in done.output) == (0, True)
    assert await desk.data("ack") == []
    again = await desk.run("ack", "4713")
    assert isinstance(again.exception, MailbridgeError)
    assert "is acknowledged by cli:" in str(again.exception)
    assert "called 4799" in str((await desk.run("ack", "4799")).exception)

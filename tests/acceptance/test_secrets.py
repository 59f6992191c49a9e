"""Secrets are planted wherever one can be given; nothing the real program writes on its worst day repeats one of them.

Searched: stdout and stderr, what every verb prints, command lines in ``/proc``, SMTP replies, web pages and their
headers, reports, and the files of the queue. Gateway and smarthost are hostile: they repeat all they were told.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import aiohttp
import pytest
import trustme
import yaml
from argon2 import PasswordHasher

from tests.support.bridge import Bridge, base_config, merged
from tests.support.door import connect, hear
from tests.support.fake_gateway import Done, FakeGateway, fake_gateway, read_request
from tests.support.programs import free_port, until
from tests.support.secrets import Written, spellings
from tests.support.smarthost import FakeSmarthost, running_smarthost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: each with what must be escaped in a form, a URL, JSON and a regular expression
GATEWAY, APIKEY = "Gate/4711=pw+&x", "Key.4712=ab+&y"
USER, WRONG = "User/4713:pw+x", "Wrong/4714:pw+x"
SMARTHOST, PROXY = "Relay/4715@pw+x", "Proxy/4716@pw+x"
#: where it stands in YAML without quotes
PLAIN = "Gate4711pw"
CALLBACK, CALLBACK_PATH = "Callback-4717-pw", "Path-4718-of-callbacks"
PHONE = "79990000001"
#: what a text asks of the gateway below
WAYS = ("taken", "refused", "suspended", "no code", "page", "broken", "cut", "other id", "redirect", "500")
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def answer_to(form: Mapping[str, str], echo: str) -> tuple[str, str]:
    """Return status and body of an answer that repeats *echo*, everything the request held."""
    ids = {"id": int(form["id"]), "cnt": 1} if form.get("id", "").isdigit() else {}
    way = next((way for way in WAYS if f"way {way}" in form.get("mes", "")), "")
    if "mes" not in form:
        # a balance, or what became of a message
        return "200 OK", json.dumps({"balance": "100", "currency": echo, "status": 1, "note": echo, **ids})
    return {
        "taken": ("200 OK", json.dumps({**ids, "note": echo})),
        "refused": ("200 OK", json.dumps({"error": f"refused: {echo}", "error_code": 7, **ids})),
        "suspended": ("200 OK", f"ERROR = 2 (who are you, {echo})"),
        "no code": ("200 OK", json.dumps({"error": echo, "error_code": None})),
        "page": ("502 Bad Gateway", f"<html>{echo}</html>"),
        "broken": ("200 OK", json.dumps({"error": echo})[:-4]),
        "other id": ("200 OK", json.dumps({"id": echo, "cnt": 1})),
        "redirect": ("302 Found", echo),
        "500": (f"500 {echo}", echo),
        "cut": ("200 OK", ""),
    }[way]


async def echoing(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request as its text asks, and repeat every secret in it, as it came and as it was meant."""
    request = await read_request(gateway, reader)
    echo = f"{parse_qs(request.body.decode()).get('psw')} {request.body.decode()} {request.headers}"
    status, body = answer_to(request.form, echo.replace("\n", " "))
    raw = body.encode()
    head = f"HTTP/1.1 {status}\r\nLocation: http://{quote(echo)}/\r\nX-Echo: {quote(echo)}\r\n"
    writer.write(f"{head}Content-Length: {len(raw) or 100}\r\n\r\n".encode() + raw)
    await writer.drain()
    if not raw:
        raise Done


class Day:
    """One bridge with planted secrets, and what it writes on a bad day."""

    def __init__(self, folder: Path, gateway: FakeGateway, smarthost: FakeSmarthost, *, apikey: bool) -> None:
        self.folder = folder
        self.gateway = gateway
        self.smarthost = smarthost
        self._authority = trustme.CA()
        issued = self._authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        self.hash = CHEAP.hash(USER)
        self.written = Written({
            "the gateway's password": GATEWAY, "the apikey": APIKEY, "a user's password": USER,
            "a password that was wrong": WRONG, "a user's hash": self.hash, "the smarthost's password": SMARTHOST,
            "the proxy's password": PROXY, "the callbacks' secret": CALLBACK, "the callbacks' path": CALLBACK_PATH,
            "a password written wrongly": PLAIN, "the TLS key": (folder / "key.pem").read_text().splitlines()[1],
        })  # fmt: skip
        for name, secret in (("gateway", GATEWAY), ("callback", CALLBACK)):
            (folder / f"{name}.secret").write_text(f"{secret}\n")
        relay = f"smtp://bridge:{quote(SMARTHOST, safe='')}@127.0.0.1:{smarthost.port}"
        environ = {"PLANTED_APIKEY": APIKEY, "MAILBRIDGE__BOUNCE__SMARTHOST": relay}
        self.bridge = Bridge(folder, None, env=environ)
        who = {"login": None, "password": None, "apikey": "${PLANTED_APIKEY}"} if apikey else {
            "password": None, "password_file": str(folder / "gateway.secret")
        }  # fmt: skip
        main = {**who, "timeout": "2s", "quarantine": "1s", "callback_path": CALLBACK_PATH,
                "callback_secret_file": str(folder / "callback.secret")}  # fmt: skip
        tls = {"certificate": str(folder / "cert.pem"), "private_key": str(folder / "key.pem")}
        self.config = merged(base_config(folder, gateway.url), {
            "smtp": {"listen": [{"address": "127.0.0.1:0", "auth": "optional"},
                                {"address": "127.0.0.1:0", "tls": "required", **tls}], "reply": "verdict",
                     "verdict_wait": "2s"},
            "users": [{"name": "zabbix", "password": self.hash}],
            "message": {"text": "{{ body }}"},
            "queue": {"retry_min": "100ms", "retry_max": "1s", "delay_warning": "1s"},
            "gateways": {"main": main},
            "bounce": {"mode": "mail", "operator": "root@example.org"},
            "log": {"level": "debug", "phones": "full"},
        })  # fmt: skip
        self.config["gateways"]["main"] = {k: v for k, v in self.config["gateways"]["main"].items() if v is not None}
        self.save(self.config)

    def save(self, config: Mapping[str, Any] | str) -> None:
        """Write the configuration file."""
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config))
        self.bridge.config_file.write_text(text)

    async def verb(self, *words: str, text: bytes = b"") -> str:
        """Run a verb and remember what it printed."""
        ended = await self.bridge.verb(*words, text=text)
        self.written.add(f"mailbridge {' '.join(words)}", ended.output)
        return ended.output

    async def talk(self, *lines: str | bytes, listener: int = 0) -> list[str]:
        """Say *lines* at the door, and remember every reply."""
        host, port = self.bridge.addresses[listener]
        reader, writer = await connect(f"{host}:{port}")
        replies = [await hear(reader)]
        for line in lines:
            writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
            replies.append(await hear(reader))
        writer.close()
        self.written.add("SMTP replies", "\n".join(replies))
        return replies

    async def mail(self, text: str) -> str:
        """Send a mail and return the answer to it."""
        content = f"Subject: x\r\nMessage-ID: <{text.replace(' ', '-')}@x>\r\n\r\n{text}\r\n."
        start = ("EHLO me", "MAIL FROM:<nagios@example.org>", f"RCPT TO:<{PHONE}@sms.local>", "DATA")
        return (await self.talk(*start, content))[-1]

    def look_at_processes(self) -> None:
        """Remember the command line of the bridge and of its children, as every user of the machine can read them."""
        assert self.bridge.process is not None
        pids = [str(self.bridge.process.pid)]
        for task in Path(f"/proc/{pids[0]}/task").iterdir():
            pids += (task / "children").read_text().split() if (task / "children").exists() else []
        for pid in pids:
            for name in ("cmdline", "comm", "status"):
                self.written.add(f"/proc/PID/{name}", Path(f"/proc/{pid}/{name}").read_bytes())

    async def web(self, method: str, path: str, **kwargs: Any) -> int:
        """Ask a page, and remember it with its headers."""
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.bridge.web + path, allow_redirects=False, **kwargs) as response,
        ):
            headers = "".join(f"{name}: {value}\n" for name, value in response.headers.items())
            shown = path.replace(CALLBACK_PATH, "PATH")
            self.written.add(f"{method} {shown}", headers.encode() + await response.read())
            return response.status

    async def raw_web(self, octets: bytes) -> None:
        """Send *octets* to the web port, and remember what comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.bridge.web.rpartition(":")[2]))
        writer.write(octets)
        self.written.add("the web port", await asyncio.wait_for(reader.read(), 20))
        writer.close()

    def keep_files(self) -> None:
        """Remember every file there is beside the configuration and what the test gave."""
        given = {"config.yaml", "key.pem", "cert.pem", "gateway.secret", "callback.secret"}
        for file in sorted(self.folder.iterdir()):
            if file.name not in given:
                self.written.add(f"file {file.name}", file.read_bytes())


async def sign_in(day: Day) -> None:
    """Sign in rightly and wrongly, in every way a client gets it wrong."""
    plain = {secret: base64.b64encode(f"\0zabbix\0{secret}".encode()).decode() for secret in (USER, WRONG)}
    user, *words = (base64.b64encode(word.encode()).decode() for word in ("zabbix", USER, WRONG))
    assert (await day.talk("EHLO me", f"AUTH PLAIN {plain[USER]}"))[-1].startswith("235")
    assert (await day.talk("EHLO me", "AUTH LOGIN", user, words[0]))[-1].startswith("235")
    assert (await day.talk("EHLO me", f"AUTH PLAIN {plain[WRONG]}"))[-1].startswith("535")
    assert (await day.talk("EHLO me", "AUTH LOGIN", user, words[1]))[-1].startswith("535")
    for line in (
        f"AUTH PLAIN zabbix {USER}", f"AUTH CRAM-MD5 {plain[USER]}", f"AUTH {plain[USER]}", plain[USER], words[0], USER,
        f"AUTH LOGIN {plain[USER]} {words[0]}", f"NOOP {USER}", f"VRFY {USER}", f"HELP {USER}", f"EHLO {USER}",
        f"MAIL FROM:<a@b.c> AUTH={USER}", f"AUTH PLAIN {'A' * 3000}{plain[USER]}",
    ):  # fmt: skip
        await day.talk("EHLO me", line)
    # a door that offers no AUTH, or not yet, is told the password all the same
    for line in (f"AUTH PLAIN {plain[USER]}", plain[USER], f"AUTH LOGIN {user}"):
        await day.talk("EHLO me", line, words[0], listener=1)
    # too early, before the greeting is answered, and cut off
    await day.talk(f"AUTH PLAIN {plain[USER]}", f"EHLO me\r\nAUTH LOGIN\r\n{user}\r\n{words[0]}")


async def call_back(day: Day) -> None:
    """Ask every page, and call back rightly, wrongly, and not even in HTTP."""
    for path in ("/metrics", "/livez", "/readyz", "/", f"/{CALLBACK_PATH}", f"/callback/{CALLBACK_PATH}/main",
                 f"/callback/main/{CALLBACK_PATH}x", f"/callback/main/{CALLBACK_PATH}/", "/callback/main/"):  # fmt: skip
        await day.web("GET", path)
    page = f"/callback/main/{CALLBACK_PATH}"
    fields = {"id": "1", "phone": PHONE, "status": "1"}
    signature = hashlib.sha1(":".join((*fields.values(), CALLBACK)).encode()).hexdigest()
    assert await day.web("POST", page, data={**fields, "sha1": signature}) == 200
    assert await day.web("POST", page, data={**fields, "sha1": "0" * 40}) == 403
    assert await day.web("POST", page, data={**fields, "secret": CALLBACK}) == 403
    assert await day.web("GET", f"{page}?id={CALLBACK}&phone=1&status=1") == 403
    await day.web("POST", page, data=b"\xff\xfe=%ff", headers={"Content-Type": "application/x-www-form-urlencoded"})
    await day.web("POST", page, data=b"x" * 100_000)
    for octets in (b"GET %b HTTP/9.9\r\n\r\n", b"GET %b\r\n\r\n", b"GET %b HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                   b"\0%b\r\n\r\n", b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):  # fmt: skip
        await day.raw_web(octets % page.encode())


async def ask_everything(day: Day, mail_id: str) -> None:
    """Run every verb that looks, on the running bridge."""
    for words in (
        ("check-config", "--json"), ("config", "show"), ("config", "show", "--json"), ("balance",), ("status", mail_id),
        ("queue", "list"), ("queue", "show", mail_id), ("queue", "show", mail_id, "--json"), ("queue", "export"),
        ("check",), ("doctor",), ("gateways", "probe", "main"), ("status", "nonsense"), ("nonsense",),
    ):  # fmt: skip
        await day.verb(*words)
    shown = await day.verb("gateways", "--json")
    # the one place where it has to be seen: a person tells it to the gateway
    assert day.written.places.pop()[0] == "mailbridge gateways --json"
    day.written.add("mailbridge gateways --json", shown.replace(CALLBACK_PATH, "PATH"))


BAD: Mapping[str, Callable[[str], str]] = {
    "misspelt": lambda s: f"gateways:\n  main:\n    login: a\n    pasword: {s}\n",
    "no colon": lambda s: f"gateways:\n  main:\n    login: a\n    password {s}\n",
    "quote left open": lambda s: f'gateways:\n  main:\n    login: a\n    password: "{s}\n',
    "an alias": lambda s: f"gateways:\n  main:\n    login: a\n    password: *{s}\n",
    "a tag": lambda s: f"gateways:\n  main:\n    login: a\n    password: !{s} x\n",
    "a list": lambda s: f"gateways:\n  main:\n    login: a\n    password: ['{s}']\n",
    "a mapping": lambda s: f"gateways:\n  main:\n    login: a\n    password: {{'{s}': x}}\n",
    "a colon": lambda s: f"gateways:\n  main:\n    login: a\n    password: {s}: x\n",
    "a variable left open": lambda s: f"gateways:\n  main:\n    login: a\n    password: '${{X:-{s}'\n",
    "twice": lambda s: f"gateways:\n  main:\n    login: a\n    password: '{s}'\n    password: '{s}x'\n",
    "both ways": lambda s: f"gateways:\n  main:\n    login: a\n    password: '{s}'\n    apikey: '{s}'\n",
    "in a URL": lambda s: (
        f"gateways:\n  main:\n    login: a\n    password: x\n    url: 'https://a:{s}@smsc.ru:99999'\n"
    ),
    "a proxy's": lambda s: f"gateways:\n  main:\n    apikey: x\n    proxy: 'socks5://a:{s}@proxy:1'\n",
    "no hash": lambda s: f"gateways:\n  main:\n    apikey: x\nusers:\n  - name: a\n    password: '{s}'\n",
    "a path": lambda s: f"gateways:\n  main:\n    apikey: x\n    callback_path: '{s}/a b'\n",
    "a smarthost's": lambda s: f"gateways:\n  main:\n    apikey: x\nbounce:\n  smarthost: 'smpt://a:{s}@h:99999'\n",
    "a smarthost's option": lambda s: f"gateways:\n  main:\n    apikey: x\nbounce:\n  smarthost: 'smtp://h?pw={s}'\n",
    "a queue's": lambda s: f"gateways:\n  main:\n    apikey: x\nqueue:\n  url: 'mysql://a:{s}@h/db'\n",
    "a key not there": lambda s: f"gateways:\n  main:\n    apikey: x\napi:\n  token: '{s}'\n",
}


async def reload(day: Day) -> None:
    """Reload files in which a secret stands where it is wrong; then a good one again."""
    assert day.bridge.process is not None
    for count, (name, text) in enumerate(BAD.items(), 1):
        day.save(text(GATEWAY if "'" in text("") else PLAIN))
        day.bridge.process.send_signal(signal.SIGHUP)
        refused = lambda count=count: len(day.bridge.events_called("reload refused")) >= count  # noqa: E731
        await until(refused, saying=lambda name=name: f"{name}\n{day.bridge.what_it_said()}")
    await day.verb("check-config")
    day.save(day.config)
    day.bridge.process.send_signal(signal.SIGHUP)
    await until(lambda: day.bridge.events_called("reloaded"), saying=day.bridge.what_it_said)


async def fail_to_start(day: Day) -> None:
    """Die at a named point, then fail to start for each reason a start can have."""
    day.bridge.env["MAILBRIDGE_CRASH_AT"] = "after answer"
    await day.bridge.start()
    with suppress(ConnectionError):
        await day.mail("way taken, and dead then")
    assert day.bridge.process is not None
    assert await day.bridge.process.wait() == -signal.SIGKILL
    del day.bridge.env["MAILBRIDGE_CRASH_AT"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        day.save(merged(day.config, {"web": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}}))
        await day.verb("serve")
    day.save(merged(day.config, {"queue": {"url": f"sqlite:///{day.folder}"}}))
    await day.verb("serve")
    day.save(merged(day.config, {"smtp": {"listen": [{"address": "127.0.0.1:0", "tls": "implicit",
        "certificate": str(day.folder / "key.pem"), "private_key": str(day.folder / "gateway.secret")}]}}))  # fmt: skip
    await day.verb("serve")
    for name in ("misspelt", "quote left open", "a smarthost's"):
        day.save(BAD[name](GATEWAY if "'" in BAD[name]("") else PLAIN))
        assert "config.yaml:" in await day.verb("serve"), name
    variables = [f"MAILBRIDGE__GATEWAYS__MAIN__{name}" for name in ("PASSWROD", "TIMEOUT", "PROXY", "PASSWORD__X")]
    day.bridge.env |= dict.fromkeys(variables, f"http://a:{PROXY}/@h:99999 ")
    problems = await day.verb("check-config")
    assert all(name in problems for name in ("PASSWROD", "timeout", "proxy"))
    for variable in variables:
        del day.bridge.env[variable]


async def by_proxy(day: Day) -> None:
    """Send through a proxy that wants another password, and says which one it got."""

    async def refuse(gateway: FakeGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        echo = " ".join(head.split())
        gateway.reached.set()
        writer.write(f"HTTP/1.1 407 {echo}\r\nX: {echo}\r\nContent-Length: {len(echo)}\r\n\r\n{echo}".encode())
        await writer.drain()
        raise Done

    async with fake_gateway(refuse) as proxy:
        address = proxy.url.replace("http://", f"http://u:{quote(PROXY, safe='')}@")
        day.save(merged(day.config, {"gateways": {"main": {"proxy": address}}, "log": {"format": "console"}}))
        day.bridge.env["MAILBRIDGE__WEB__LISTEN"] = f"127.0.0.1:{free_port()}"
        mark = len(day.bridge.output)
        await day.bridge.launch()
        await until(lambda: b"ready" in day.bridge.output[mark:], saying=day.bridge.what_it_said)
        await day.verb("send", PHONE, "way taken by proxy")
        await asyncio.wait_for(proxy.reached.wait(), 30)
        day.look_at_processes()
        await day.verb("balance")
        await day.bridge.stop()


@pytest.mark.parametrize("apikey", [False, True], ids=["password", "apikey"])
async def test_no_secret_is_ever_written(tmp_path: Path, *, apikey: bool) -> None:
    """Password, apikey, users, smarthost, proxy, callbacks, TLS key: from files, environment and configuration."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(fake_gateway(echoing))
        smarthost = await stack.enter_async_context(running_smarthost(users={"bridge": "another"}))
        day = Day(tmp_path, gateway, smarthost, apikey=apikey)
        await day.bridge.start()
        await sign_in(day)
        replies = {way: await day.mail(f"way {way}") for way in WAYS if way != "suspended"}
        assert "SMSC error 7: refused" in replies["refused"]
        assert "sent, gateway id" in replies["taken"]
        await day.mail("way suspended")
        await until(lambda: day.bridge.events_called("gateway suspended"), saying=day.bridge.what_it_said)
        await call_back(day)
        day.look_at_processes()
        await ask_everything(day, replies["taken"].split("queued as ")[1][:10])
        # the smarthost refuses the password first, with an echo, and then takes it
        await until(lambda: day.bridge.events_called("report_deferred"), saying=day.bridge.what_it_said)
        smarthost.users["bridge"] = SMARTHOST
        await reload(day)
        await day.bridge.stop()
        if not apikey:
            await fail_to_start(day)
        await by_proxy(day)
        day.written.add("stdout and stderr", day.bridge.output)
        day.keep_files()
        for mail in smarthost.mails:
            day.written.add("a report", mail.content)

    # it was there to be repeated
    told = {request.form.get("apikey" if apikey else "psw") for request in gateway.requests}
    # doctor asks for the time, without signing in
    assert told - {None} == {APIKEY if apikey else GATEWAY}
    assert b"***" in day.bridge.output
    places = {place for place, _ in day.written.places}
    assert {"SMTP replies", "/proc/PID/cmdline", "GET /metrics", "mailbridge config show", "a report",
            "file queue.db", "stdout and stderr"} <= places  # fmt: skip
    assert day.written.found() == []


def test_the_search_finds_what_is_there() -> None:
    """The search of this file is not blind: each spelling is found, wherever it stands."""
    for spelling in spellings(GATEWAY):
        written = Written({"x": GATEWAY})
        written.add("a place", b"before" + spelling + b"after")
        assert written.found()
    for user in ("", "a", "ab", "abc"):
        written = Written({"x": GATEWAY})
        written.add("a reply", base64.b64encode(f"\0{user}\0{GATEWAY}".encode()))
        assert written.found()
    assert Written({"x": GATEWAY}).found() == []

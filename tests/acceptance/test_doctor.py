"""``doctor`` finds each trouble, says what to do about it, and sends nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from click.testing import CliRunner

from mailbridge import spool
from mailbridge.carriers import build_carriers
from mailbridge.cli.common import opened_store
from mailbridge.cli.main import cli
from mailbridge.clock import SystemClock
from mailbridge.config.load import load_config
from mailbridge.doctor.check import Check
from mailbridge.doctor.examine import Patient, examine
from mailbridge.queue.connect import is_made
from mailbridge.simulator.server import Simulator
from mailbridge.simulator.settings import AccountSettings, SimulatorSettings
from mailbridge.spool import Kept
from tests.support.bridge import base_config, merged, running_bridge
from tests.support.certificates import Certificates
from tests.support.pages import fetched
from tests.support.programs import free_port
from tests.support.smarthost import running_smarthost


class Elsewhen(SystemClock):
    """A clock that is wrong by an hour."""

    def now(self) -> datetime:
        """Return an hour ago."""
        return super().now() - timedelta(hours=1)


async def examined(folder: Path, changes: Mapping[str, Any], *, url: str, **more: Any) -> dict[str, Check]:
    """Examine a bridge that is not running, with *changes* to the smallest configuration; return its checks by name."""
    (folder / "config.yaml").write_text(yaml.safe_dump(merged(base_config(folder, url), changes)))
    config = load_config(folder / "config.yaml", environ={})
    clock = more.pop("clock", SystemClock())
    gateways = [carrier.gateway for carrier in build_carriers(config, clock)]
    patient = Patient(
        config=config, gateways=gateways, open_store=lambda: opened_store(config), is_made=is_made(config.queue.url),
        clock=clock, **more,
    )  # fmt: skip
    try:
        return {check.name.split()[0]: check async for check in examine(patient)}
    finally:
        for gateway in gateways:
            await gateway.aclose()


def wrong(checks: Mapping[str, Check]) -> Check:
    """Return the only check that is not well; it must say what to do."""
    [check] = [check for check in checks.values() if not check.ok]
    assert check.detail
    assert check.fix
    return check


@contextmanager
def stranger():
    """Something else on a port, which says nothing of use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.sendall(b"SSH-2.0-x\r\n")
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
async def test_a_running_bridge_that_is_well(tmp_path: Path):
    """Beside the daemon: its ports, certificate, queue, gateway, smarthost; the gateway is asked for the balance alone."""
    certificates = Certificates(tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    async with running_smarthost() as relay:
        ports = [free_port() for _ in range(3)]
        changes = {
            "smtp": {"listen": [
                {"address": f"127.0.0.1:{ports[0]}"}, {"address": f"127.0.0.1:{ports[1]}", **certificates.listener("implicit")},
            ]},
            "web": {"listen": f"127.0.0.1:{ports[2]}"},
            "bounce": {"mode": "mail", "smarthost": f"smtp://127.0.0.1:{relay.port}"},
        }  # fmt: skip
        async with running_bridge(tmp_path, changes) as bridge:
            ended = await bridge.verb("doctor", "--json")
            shape = json.loads(ended.output)
            assert (ended.code, shape["ok"]) == (0, True), ended
            found = {check["name"]: check["detail"] for check in shape["checks"]}
            assert "220 sms.example.org" in found[f"port 127.0.0.1:{ports[0]}"]
            assert "localhost" in found[f"tls 127.0.0.1:{ports[1]}"]
            assert found[f"web 127.0.0.1:{ports[2]}"] == "the bridge answers"
            assert found["queue"] == "0 wait; 0 held"
            assert found["gateway main"] == "login and password are right; 1000.00 RUR"
            assert found["smarthost"].endswith("takes our mail")
            assert {key for check in shape["checks"] for key in check} == {"name", "ok", "detail", "fix"}
            assert not [check for check in shape["checks"] if check["fix"]]
            asked = json.loads(await fetched(f"{bridge.simulator.url}/requests.json"))
            assert {request["path"] for request in asked} == {"/sys/balance.php"}
            assert bridge.simulator.inbox == []
        assert relay.mails == []


@pytest.mark.slow
async def test_listeners_that_do_not_take_us_are_still_ours(tmp_path: Path):
    """Behind a proxy, with TLS behind it, for another network, on a unix socket: each is found running."""
    certificates = Certificates(tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    ports = [free_port() for _ in range(4)]
    listeners = [
        {"address": f"127.0.0.1:{ports[0]}", "proxies": ["127.0.0.1"]},
        {"address": f"127.0.0.1:{ports[1]}", "proxies": ["127.0.0.1"], **certificates.listener("implicit")},
        {"address": f"127.0.0.1:{ports[2]}", "proxies": ["10.0.0.1"]},
        {"address": f"127.0.0.1:{ports[3]}", "allow": ["10.0.0.0/8"]},
        {"address": f"unix:{tmp_path}/door"},
    ]
    async with running_bridge(tmp_path, {"smtp": {"listen": listeners}, "web": {"listen": "off"}}) as bridge:
        shape = json.loads((await bridge.verb("doctor", "--json")).output)
    answers = [check["detail"] for check in shape["checks"] if check["name"].startswith("port ")]
    assert len(answers) == len(listeners)
    assert all(answer.startswith("a mail server answers: ") for answer in answers), answers


async def test_a_socket_that_is_left_over_is_free(tmp_path: Path):
    """The bridge puts its own in the place of one that nobody listens on."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "door"))
    left.close()
    async with Simulator() as gateway:
        checks = await examined(tmp_path, {"smtp": {"listen": [{"address": f"unix:{tmp_path}/door"}]}}, url=gateway.url)
        assert checks["port"].ok, checks
        checks = await examined(
            tmp_path, {"smtp": {"listen": [{"address": f"unix:{tmp_path}/no/door"}]}}, url=gateway.url
        )
        assert wrong(checks).detail == "no such folder"


@pytest.mark.parametrize("section", ["smtp", "tls", "web"])
async def test_a_port_that_something_else_has(tmp_path: Path, section: str):
    """Not taken for a bridge because something answers there."""
    with stranger() as address:
        listener = {"address": address}
        if section == "tls":
            listener |= Certificates(tmp_path).listener("implicit")
            (tmp_path / "key.pem").chmod(0o600)
        changes = {"web": {"listen": address}} if section == "web" else {"smtp": {"listen": [listener]}}
        async with Simulator() as gateway:
            check = wrong(await examined(tmp_path, changes, url=gateway.url))
    assert check.name in {f"port {address}", f"web {address}"}
    assert "no mailbridge" in check.detail


async def test_an_address_of_another_machine(tmp_path: Path):
    """Told as the system tells it."""
    async with Simulator() as gateway:
        check = wrong(await examined(tmp_path, {"smtp": {"listen": [{"address": "192.0.2.1:2525"}]}}, url=gateway.url))
    assert check.name == "port 192.0.2.1:2525"


def issue(folder: Path, *, until: datetime) -> dict[str, Any]:
    """Write a pair that is valid until then, and return its listener."""
    issued = trustme.CA().issue_cert("sms.example.org", not_after=until)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "key.pem").chmod(0o600)
    return {"address": "127.0.0.1:0", "tls": "starttls", "certificate": str(folder / "cert.pem"),
            "private_key": str(folder / "key.pem")}  # fmt: skip


@pytest.mark.parametrize(
    ("days", "words"), [(-1, "certificate has expired"), (5, "valid until"), (400, "")], ids=["over", "soon", "well"]
)
async def test_a_certificate_that_ends(tmp_path: Path, days: int, words: str):
    """Over, over soon, and well."""
    listener = issue(tmp_path, until=datetime.now(UTC) + timedelta(days=days))
    async with Simulator() as gateway:
        checks = await examined(tmp_path, {"smtp": {"listen": [listener]}}, url=gateway.url)
    if words:
        assert (wrong(checks).name, words in wrong(checks).detail) == ("tls 127.0.0.1:0", True)
    else:
        assert all(check.ok for check in checks.values()), checks
        assert "sms.example.org" in checks["tls"].detail


async def test_a_key_that_everybody_may_read(tmp_path: Path):
    """The loader finds a key that does not fit; that others can take it, nobody else does."""
    listener = issue(tmp_path, until=datetime.now(UTC) + timedelta(days=400))
    (tmp_path / "key.pem").chmod(0o644)
    async with Simulator() as gateway:
        check = wrong(await examined(tmp_path, {"smtp": {"listen": [listener]}}, url=gateway.url))
    assert (check.name, check.fix) == ("tls 127.0.0.1:0", f"chmod o-r {tmp_path}/key.pem")


async def test_a_gateway_that_does_not_take_us(tmp_path: Path):
    """A wrong password, an empty account, a host that is away: each in the gateway's words, with another advice."""
    async with Simulator(SimulatorSettings(accounts=(AccountSettings(balance=Decimal(0)),))) as gateway:
        login = wrong(await examined(tmp_path, {"gateways": {"main": {"password": "wrong"}}}, url=gateway.url))
        money = wrong(await examined(tmp_path, {}, url=gateway.url))
    away = wrong(await examined(tmp_path, {}, url="http://127.0.0.1:1"))
    assert {check.name for check in (login, money, away)} == {"gateway main"}
    assert login.detail.startswith("2: ")
    assert "0.00" in money.detail
    assert len({check.fix for check in (login, money, away)}) == 3


@pytest.mark.parametrize("has_balance", [True, False])
async def test_a_carrier_described_in_yaml_is_asked_where_it_is(tmp_path: Path, *, has_balance: bool):
    """Its own host, not SMSC's; without a question for money it is not asked; SMSC's advice is not given to it."""
    async with Simulator() as gateway:
        own = {"type": "http", "url": None, "login": None, "password": None, "poll": None,
               "request": {"url": f"{gateway.url}/send", "json": {"to": "{{ phone }}", "text": "{{ text }}"}}, "success": {"status": 200}}  # fmt: skip
        if has_balance:
            own["balance"] = {"method": "GET", "url": f"{gateway.url}/nothing", "amount": "json:money"}
        config = base_config(tmp_path, gateway.url)
        config["gateways"] = {"main": {key: value for key, value in own.items() if value is not None}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        result = await asyncio.to_thread(
            CliRunner().invoke, cli, ["doctor", "--json", "--config", str(tmp_path / "config.yaml")]
        )
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert [name for name in checks if name.startswith("name ")] == ["name 127.0.0.1"], checks
    assert "agrees with 127.0.0.1" in checks["clock"]["detail"]
    assert checks["gateway main"]["ok"] is not has_balance, checks
    assert "SMSC" not in checks["gateway main"]["fix"]


async def test_a_wrong_clock_is_found_by_the_gateways(tmp_path: Path):
    """By the date of its page, which needs no signing in."""
    async with Simulator() as gateway:
        check = wrong(await examined(tmp_path, {}, url=gateway.url, clock=Elsewhen()))
    assert check.name == "clock"
    assert abs(int(check.detail.split()[0]) - 3600) < 60
    assert "behind" in check.detail


async def test_a_name_nobody_knows(tmp_path: Path):
    """Of the smarthost or of a gateway; the smarthost itself is then away, too."""
    changes = {"bounce": {"mode": "mail", "smarthost": "smtp://mail.invalid"}}
    async with Simulator() as gateway:
        checks = await examined(tmp_path, changes, url=gateway.url)
    assert [check.name for check in checks.values() if not check.ok] == ["name mail.invalid", "smarthost"]


async def test_a_smarthost_that_refuses_our_password(tmp_path: Path):
    """Found without a mail; the password stands nowhere."""
    async with Simulator() as gateway, running_smarthost(users={"me": "right"}) as relay:
        changes = {"bounce": {"mode": "mail", "smarthost": f"smtp://me:s3cret-word@127.0.0.1:{relay.port}"}}
        check = wrong(await examined(tmp_path, changes, url=gateway.url))
    assert check.name == "smarthost"
    assert "s3cret-word" not in f"{check.detail}{check.fix}"


@pytest.mark.slow
async def test_a_queue_that_cannot_be_used(tmp_path: Path):
    """A folder that is not there, a file that is no queue."""
    async with Simulator() as gateway:
        gone = wrong(await examined(tmp_path, {"queue": {"url": f"sqlite:///{tmp_path}/no/q.db"}}, url=gateway.url))
        (tmp_path / "broken.db").write_bytes(b"no queue" * 4096)
        broken = wrong(await examined(tmp_path, {"queue": {"url": f"sqlite:///{tmp_path}/broken.db"}}, url=gateway.url))
    assert {gone.name, broken.name} == {"queue"}
    assert (tmp_path / "broken.db").read_bytes() == b"no queue" * 4096


async def test_messages_that_wait_for_a_person(tmp_path: Path):
    """A held message is told; so is a mail of sendmail that nobody sends."""
    (tmp_path / "spool").mkdir()
    spool.put(tmp_path / "spool", Kept(sender="", recipients=("a@b",), content=b"", at=SystemClock().now().timestamp()))
    async with Simulator() as gateway:
        kept = wrong(await examined(tmp_path, {}, url=gateway.url, spool=tmp_path / "spool"))
        runner, config = CliRunner(), ["--config", str(tmp_path / "config.yaml")]
        sent = await asyncio.to_thread(runner.invoke, cli, ["send", "+79991234567", "x", "--json", *config])
        held = await asyncio.to_thread(runner.invoke, cli, ["queue", "hold", json.loads(sent.stdout)[0]["id"], *config])
        assert held.exit_code == 0, held.output
        check = wrong(await examined(tmp_path, {}, url=gateway.url))
    assert (kept.name, "1 mails" in kept.detail) == ("spool", True)
    assert (check.name, check.detail) == ("queue", "0 wait; 1 held")


async def test_a_wrong_configuration_ends_it_with_2(tmp_path: Path):
    """Each problem is a check of its own; nothing else is asked."""
    (tmp_path / "config.yaml").write_text(
        "smtp: {hostnam: x}\nqueue: {lifetime: soon}\ngateways: {main: {type: smsc}}\n"
    )
    words = ["doctor", "--json", "--config", str(tmp_path / "config.yaml")]
    result = await asyncio.to_thread(CliRunner().invoke, cli, words)
    shape = json.loads(result.stdout)
    assert (result.exit_code, shape["ok"]) == (2, False)
    assert {check["name"] for check in shape["checks"]} == {"configuration"}
    assert len(shape["checks"]) >= 3
    assert all(check["detail"].startswith(str(tmp_path)) for check in shape["checks"])
    text = await asyncio.to_thread(CliRunner().invoke, cli, [word for word in words if word != "--json"])
    assert text.exit_code == 2
    assert "checks are not well" in text.stdout.splitlines()[-1]

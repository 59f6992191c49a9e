"""A real Zabbix server with a database of its own, set up by our recipes, and the SMS its alarms become."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from trustme import CA

from tests.support.bridge import Bridge, running_bridge
from tests.support.documents import ROOT
from tests.support.postgresql import PostgreSQL, running_postgresql
from tests.support.zabbix import MediaType, load_fresh, need_zabbix, running_zabbix

PAGE = ROOT / "docs/howto/zabbix.md"
README = ROOT / "README.md"
#: the simulator's magic number: refused with error 7
REFUSED = "79990000107"
REFUSAL = "550 5.1.3 SMSC error 7: invalid number"
NAMES = {"trigger": "Диск /var почти полон", "host_name": "Сервер БД"}

#: what the page says arrives
SHOWN = "High: Диск /var почти полон: Сервер БД 96"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that holds the database a fresh Zabbix starts from."""
    need_zabbix()
    with running_postgresql() as server:
        load_fresh(server)
        yield server


def table(page: Path, heading: str) -> dict[str, list[str]]:
    """Return the table of *page* that begins with *heading*: the first cell of each row, and its others without marks."""
    text = page.read_text(encoding="utf-8").partition(f"| {heading} |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines()[2:]]
    return {row[0]: [re.sub(r"^`([^`]*)`.*", r"\1", cell) for cell in row[1:]] for row in rows}


def media_type_of_the_page(recipient: str, port: int) -> MediaType:
    """Return what somebody who follows the page fills in, with the bridge's real port."""
    fields = {name: cells[0] for name, cells in table(PAGE, "field").items()}
    assert fields["SMTP server port"] == "2525"
    return MediaType(
        recipient=recipient,
        port=port,
        name=fields["Name"],
        type=fields["Type"],
        server=fields["SMTP server"],
        email=fields["Email"],
        helo=fields["SMTP helo"],
        security=fields["Connection security"],
        authentication=fields["Authentication"],
        message_format=fields["Message format"],
        messages={kind: (subject, text) for kind, (subject, text) in table(PAGE, "type").items()},
    )


def media_type_of_the_readme(port: int) -> MediaType:
    """Return what somebody who follows the README's one sentence fills in, with the bridge's real port."""
    found = re.search(
        r"Media type \*(?P<name>.+?)\*: SMTP server `(?P<server>.+?)`, port `2525`, security \*(?P<security>.+?)\*, "
        r"authentication \*(?P<authentication>.+?)\*, format \*(?P<message_format>.+?)\*; "
        r"the user's media is `(?P<recipient>.+?)`",
        README.read_text(encoding="utf-8"),
    )
    assert found, "the README's recipe has other words"
    return MediaType(port=port, **found.groupdict())


def texts_by_phone(messages: list[dict[str, Any]]) -> dict[str, str]:
    """Return what each phone got."""
    return {message["phone"]: message["text"] for message in messages}


async def test_an_alarm_and_its_recovery(bridge: Bridge, postgresql: PostgreSQL) -> None:
    """By either recipe a trigger that fires becomes a readable SMS, and so does its recovery; the page's is one part."""
    media = [media_type_of_the_readme(bridge.port), media_type_of_the_page("79997654321@sms.local", bridge.port)]
    async with running_zabbix(postgresql, *media, **NAMES) as zabbix:
        await zabbix.send(96)
        problems = texts_by_phone(await bridge.messages(2))
        assert problems["+79997654321"] == SHOWN, zabbix.what_it_said()
        line = r"HIGH Сервер БД: Диск /var почти полон \d\d:\d\d"
        assert re.fullmatch(line, problems["+79991234567"]), problems
        await zabbix.send(10)
        messages = await bridge.messages(4)
        recoveries = texts_by_phone(messages[2:])
        assert re.fullmatch(r"OK: Диск /var почти полон: Сервер БД \d+s", recoveries["+79997654321"])
        assert re.fullmatch(line.replace("HIGH", "OK"), recoveries["+79991234567"]), recoveries
        assert {message["parts"] for message in messages if message["phone"] == "+79997654321"} == {1}
        assert f"`{SHOWN}`" in PAGE.read_text(encoding="utf-8")


async def test_a_password_over_tls_and_a_wrong_phone(postgresql: PostgreSQL, tmp_path: Path) -> None:
    """A listener that wants TLS and a password gets the alarm; Zabbix shows our words about a phone that is refused."""
    certificate = CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    closed = {
        "address": "127.0.0.1:0",
        "tls": "required",
        "auth": "required",
        "certificate": str(tmp_path / "cert.pem"),
        "private_key": str(tmp_path / "key.pem"),
    }
    user = {"name": "zabbix", "password": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("s3cret")}
    changes = {"smtp": {"reply": "verdict", "listen": [{"address": "127.0.0.1:0"}, closed]}, "users": [user]}
    async with running_bridge(tmp_path, changes) as bridge:
        (_, open_port), (_, closed_port) = bridge.addresses
        wrong = replace(media_type_of_the_page(f"{REFUSED}@sms.local", open_port), attempts=1)
        right = MediaType(
            recipient="79991234567@sms.local",
            port=closed_port,
            security="STARTTLS",
            authentication="Username and password",
            username="zabbix",
            password="s3cret",
        )
        async with running_zabbix(postgresql, wrong, right, **NAMES) as zabbix:
            assert REFUSAL in await zabbix.press_test(wrong)
            await zabbix.send(96)
            (problem,) = await bridge.messages()
            assert (problem["phone"], NAMES["trigger"] in problem["text"]) == ("+79991234567", True)
            assert REFUSAL in await zabbix.failed_alert()
        assert "zabbix" in {event.get("user") for event in bridge.events_called("received")}
    assert f"`{REFUSAL}`" in PAGE.read_text(encoding="utf-8")

"""A real Postfix at the door: signing in with SASL, and delivering over LMTP."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme
from argon2 import PasswordHasher

from mailbridge.config.model import User
from tests.support.door import open_door, unix_listener
from tests.support.postfix import prepared_postfix
from tests.support.programs import free_port

USERS = [User(name="zabbix", password=PasswordHasher(1, 8, 1).hash("s3cret"), cram_secret="s3cret")]  # type: ignore[arg-type]
SENDER = "nagios@example.org"
GOOD, BAD = "+79991234567@sms.local", "nobody@sms.local"


async def send(port: int, *to: str) -> None:
    """Hand a mail to the Postfix on *port*."""

    def hand_over() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            assert client.sendmail(SENDER, to, "Subject: Disk full\r\n\r\n/var\r\n") == {}

    await asyncio.to_thread(hand_over)


async def delivered(mails: list[object]) -> None:
    """Wait until a mail has come."""
    async with asyncio.timeout(30):
        while not mails:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
async def test_postfix_signs_in_with_sasl_inside_tls(mechanism: str, tmp_path: Path) -> None:
    """``smtp_sasl_auth_enable`` on a listener that requires both."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    keys = {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}
    async with (
        prepared_postfix(free_port()) as postfix,
        open_door({"tls": "required", "auth": "required", **keys}, users=USERS) as door,
    ):
        settings = (
            "smtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n"
            f"smtp_sasl_password_maps = inline:{{ {{ [127.0.0.1]:{door.port} = zabbix:s3cret }} }}\n"
            f"smtp_sasl_mechanism_filter = {mechanism}\nsmtp_tls_security_level = encrypt\n"
        )
        await postfix.start(sms_port=door.port, settings=settings)
        await send(postfix.port, GOOD)
        await delivered(door.reception.mails)
        client = door.reception.mails[0].client
        assert (client.user, client.tls) == ("zabbix", True)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that Postfix's lmtp client, a user of its own, may enter: pytest closes its own to others."""
    with TemporaryDirectory(prefix="mailbridge-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_postfix_delivers_over_lmtp(kind: str, open_folder: Path) -> None:
    """Each recipient has its answer: the good one's mail arrives, and the sender hears of the bad one alone."""
    listener = {"protocol": "lmtp"} if kind == "tcp" else unix_listener(open_folder, protocol="lmtp")
    async with prepared_postfix(free_port()) as postfix, open_door(listener) as door:
        way = f"lmtp:{door.address}"
        if kind == "unix":
            (open_folder / "smtp.sock").chmod(0o666)
        else:
            way = f"lmtp:inet:127.0.0.1:{door.port}"
        await postfix.start(way=way)
        await send(postfix.port, GOOD, BAD)
        await delivered(door.reception.mails)
        (report,) = await postfix.reports()
        assert len(door.reception.mails) == 1
        assert BAD in report.as_string()
        assert f"Final-Recipient: rfc822; {GOOD}" not in report.as_string()

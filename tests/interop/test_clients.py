"""Mail programs as administrators use them: swaks, msmtp, s-nail, curl, Python's smtplib."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path

import pytest
import trustme
from argon2 import PasswordHasher

from tests.support.bridge import Bridge, running_bridge
from tests.support.programs import Ended, need, run_program

TO = "79991234567@sms.local"
PHONE = "+79991234567"


async def expect_one(bridge: Bridge, text: str) -> None:
    """Wait for the only SMS and compare phone and text."""
    (message,) = await bridge.messages()
    assert (message["phone"], message["text"]) == (PHONE, text)


async def test_swaks(bridge: Bridge) -> None:
    """Swaks, with its own Date and Message-Id, gets 250 and its SMS goes out."""
    ended = await run_program(
        need("swaks"), "--server", f"127.0.0.1:{bridge.port}", "--helo", "client.example.org",
        "--from", "nagios@example.org", "--to", TO, "--header", "Subject: Disk full", "--body", "/var is full",
    )  # fmt: skip
    assert ended.code == 0, ended
    assert "250 2.0.0 Ok: queued as" in ended.output
    await expect_one(bridge, "Disk full: /var is full")


async def test_smtplib_asks_for_every_dsn_parameter(bridge: Bridge) -> None:
    """NOTIFY, RET, ENVID and ORCPT are taken."""

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
            return client.sendmail(
                "nagios@example.org", [TO], b"Subject: s\r\n\r\nb\r\n", mail_options=["RET=HDRS", "ENVID=QQ+2B314"],
                rcpt_options=["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{TO}"],
            )  # fmt: skip

    assert await asyncio.to_thread(send) == {}
    await expect_one(bridge, "s: b")


async def test_msmtp(bridge: Bridge) -> None:
    """Msmtp in the place of sendmail, reading recipients from the header, with a Russian text."""
    mail = f"To: {TO}\nSubject: Диск\nContent-Type: text/plain; charset=utf-8\n\nзаполнен\n".encode()
    ended = await run_program(
        need("msmtp"), "--file=/dev/null", "--host=127.0.0.1", f"--port={bridge.port}", "--auth=off", "--tls=off",
        "--from=cron@example.org", "-t", text=mail,
    )  # fmt: skip
    assert ended.code == 0, ended
    await expect_one(bridge, "Диск: заполнен")


async def test_s_nail(bridge: Bridge) -> None:
    """The mail(1) of many distributions, as Nagios' commands use it."""
    ended = await run_program(
        need("s-nail"), "-n", "-S", "v15-compat", "-S", f"mta=smtp://127.0.0.1:{bridge.port}", "-S", "smtp-auth=none",
        "-S", "from=nagios@example.org", "-S", "sendwait", "-S", "hostname=client.example.org",
        "-s", "** PROBLEM Service Alert: web1/http is CRITICAL **", TO,
        text="Соединение отклонено\n".encode(), env={"MAILRC": "/dev/null", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert ended.code == 0, ended
    (message,) = await bridge.messages()
    assert message["phone"] == PHONE
    assert message["text"] == "CRIT web1/http: Соединение отклонено"


async def test_curl(bridge: Bridge, tmp_path: Path) -> None:
    """Curl sends a file."""
    mail = tmp_path / "mail.eml"
    mail.write_bytes(b"From: a@example.org\r\nSubject: From curl\r\n\r\nhello\r\n")
    ended = await run_program(
        need("curl"), "-sS", f"smtp://127.0.0.1:{bridge.port}/client.example.org", "--mail-from", "a@example.org",
        "--mail-rcpt", TO, "--upload-file", mail,
    )  # fmt: skip
    assert ended.code == 0, ended
    await expect_one(bridge, "From curl: hello")


async def test_smtplib_sends_to_many(bridge: Bridge) -> None:
    """Python's smtplib sends one mail to several phones in several spellings."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Disk full", "zabbix@example.org", "ops"
    mail.set_content("on db1\n")
    phones = ["79991234567@sms.local", "+79991234568@sms.local", "8-999-123-45-69@sms.local"]

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=20) as client:
            return client.send_message(mail, to_addrs=phones)

    assert await asyncio.to_thread(send) == {}
    got = await bridge.messages(3)
    assert sorted(message["phone"] for message in got) == ["+79991234567", "+79991234568", "+79991234569"]
    assert {message["text"] for message in got} == {"Disk full: on db1"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> tuple[Path, Path, Path]:
    """Authority, certificate and key as files."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    files = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(files[0])
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(files[1], append=number > 0)
    issued.private_key_pem.write_to_path(files[2])
    files[2].chmod(0o600)
    return files


async def swaks_over_tls(port: int, *options: str) -> Ended:
    """Run swaks with STARTTLS; skip where its perl has no TLS."""
    ended = await run_program(
        need("swaks"), "--server", f"127.0.0.1:{port}", "--helo", "client.example.org", "--tls",
        "--from", "zabbix@example.org", "--to", TO, "--header", "Subject: s", "--body", "b", *options,
    )  # fmt: skip
    if "requires Net::SSLeay" in ended.output:
        pytest.skip("swaks has no TLS here (libnet-ssleay-perl)")
    return ended


class TestTlsAndAuth:
    """STARTTLS with AUTH, and TLS from the first byte, against each client's own implementation."""

    @pytest.fixture
    async def secure_bridge(self, tmp_path: Path, certificates):
        """A bridge with a STARTTLS and an implicit-TLS listener that both want AUTH."""
        _, certificate, key = certificates
        pair = {"certificate": str(certificate), "private_key": str(key), "auth": "required"}
        changes = {
            "smtp": {
                "listen": [
                    {"address": "127.0.0.1:0", "tls": "required", **pair},
                    {"address": "127.0.0.1:0", "tls": "implicit", **pair},
                ]
            },
            "users": [{"name": "zabbix", "password": PasswordHasher(time_cost=1, memory_cost=1024).hash("s3cret")}],
        }
        async with running_bridge(tmp_path, changes) as running:
            yield running

    @pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
    async def test_swaks_with_starttls_and_auth(self, secure_bridge: Bridge, mechanism: str) -> None:
        """Swaks upgrades, signs in and sends."""
        ended = await swaks_over_tls(
            secure_bridge.port, "--auth", mechanism, "--auth-user", "zabbix", "--auth-password", "s3cret"
        )
        assert ended.code == 0, ended
        await expect_one(secure_bridge, "s: b")

    async def test_swaks_with_a_wrong_password(self, secure_bridge: Bridge) -> None:
        """A wrong password is refused with 535 and nothing is sent."""
        ended = await swaks_over_tls(
            secure_bridge.port, "--auth", "PLAIN", "--auth-user", "zabbix", "--auth-password", "wrong"
        )
        assert ended.code != 0
        assert "535 5.7.8" in ended.output, ended
        assert secure_bridge.simulator.inbox == []

    async def test_curl_with_implicit_tls(self, secure_bridge: Bridge, certificates, tmp_path: Path) -> None:
        """Curl checks the certificate, signs in over smtps and sends."""
        mail = tmp_path / "mail.eml"
        mail.write_bytes(b"Subject: s\r\n\r\nb\r\n")
        ended = await run_program(
            need("curl"), "-sS", f"smtps://127.0.0.1:{secure_bridge.addresses[1][1]}/client.example.org",
            "--cacert", certificates[0], "--user", "zabbix:s3cret", "--mail-from", "zabbix@example.org",
            "--mail-rcpt", TO, "--upload-file", mail,
        )  # fmt: skip
        assert ended.code == 0, ended
        await expect_one(secure_bridge, "s: b")

    async def test_smtplib_with_starttls(self, secure_bridge: Bridge, certificates) -> None:
        """Python checks the certificate, signs in and sends."""
        context = ssl.create_default_context(cafile=str(certificates[0]))

        def send() -> dict[str, tuple[int, bytes]]:
            with smtplib.SMTP("127.0.0.1", secure_bridge.port, timeout=20) as client:
                client.starttls(context=context)
                client.login("zabbix", "s3cret")
                return client.sendmail("zabbix@example.org", [TO], "Subject: s\r\n\r\nb\r\n")

        assert await asyncio.to_thread(send) == {}
        await expect_one(secure_bridge, "s: b")

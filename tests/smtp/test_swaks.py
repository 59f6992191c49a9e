"""swaks and msmtp sign in by every mechanism on every form of TLS."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import trustme
from argon2 import PasswordHasher

from mailbridge.config.model import User
from tests.support.door import TestDoor, open_door

pytestmark = pytest.mark.slow

RCPT = "79991234567@sms.local"
USERS = [User(name="zabbix", password=PasswordHasher(1, 8, 1).hash("s3cret"), cram_secret="s3cret")]  # type: ignore[arg-type]
#: the keys of a listener -> how swaks is told
TLS = {
    "off": "",
    "starttls": "-tls",
    "starttls, not used": "",
    "required": "-tls",
    "required, not used": "",
    "implicit": "-tlsc",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys of a listener with a certificate, and ``ca``, which trusts it."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return {"certificate": str(folder / "cert.pem"), "private_key": str(folder / "key.pem")}


async def run(program: str, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    """Run *program* and return its exit code and what it said."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    process = await asyncio.create_subprocess_exec(
        path,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), 30)
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")


def listener(mode: str, certificate: dict[str, str]) -> dict[str, Any]:
    """Return the keys of a listener that wants a sign-in."""
    tls = mode.partition(",")[0]
    return {"tls": tls, "auth": "required", **(certificate if tls != "off" else {})}


async def swaks(door: TestDoor, mode: str, *arguments: str) -> tuple[int, str]:
    """Send a mail with swaks."""
    words = ("-s", f"127.0.0.1:{door.port}", "-f", "a@b.c", "-t", RCPT, *TLS[mode].split(), *arguments)
    return await run("swaks", *words)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("mode", TLS)
async def test_swaks_signs_in(mode: str, mechanism: str, certificate: dict[str, str]) -> None:
    """The right password sends a mail as its user, the wrong one and none send nothing; neither does a way without TLS."""
    async with open_door(listener(mode, certificate), users=USERS) as door:
        credentials = ("--auth", mechanism, "-au", "zabbix", "-ap")
        code, output = await swaks(door, mode, *credentials, "s3cret")
        if mode == "required, not used":
            assert code != 0, output
            assert door.reception.mails == []
            return
        assert code == 0, output
        assert [mail.client.user for mail in door.reception.mails] == ["zabbix"]
        assert door.reception.mails[0].client.tls is (mode not in {"off", "starttls, not used"})
        code, output = await swaks(door, mode, *credentials, "wrong")
        assert code == 28, output
        assert "535 5.7.8" in output
        code, output = await swaks(door, mode)
        assert code != 0
        assert "530 5.7.0" in output
        assert len(door.reception.mails) == 1


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
@pytest.mark.parametrize("mode", ["off", "starttls", "implicit"])
async def test_msmtp_signs_in(mode: str, mechanism: str, certificate: dict[str, str], tmp_path: Path) -> None:
    """Msmtp, which checks the certificate, delivers by the same ways."""
    async with open_door(listener(mode, certificate), users=USERS) as door:
        settings = [
            "account default",
            f"host 127.0.0.1\nport {door.port}\nfrom a@b.c",
            f"auth {mechanism}\nuser zabbix\npassword s3cret",
            f"tls {'off' if mode == 'off' else 'on'}",
            f"tls_starttls {'on' if mode == 'starttls' else 'off'}",
        ]
        if mode != "off":
            settings.append(f"tls_trust_file {Path(certificate['certificate']).with_name('ca.pem')}")
        (tmp_path / "msmtprc").write_text("\n".join(settings) + "\n")
        (tmp_path / "msmtprc").chmod(0o600)
        code, output = await run("msmtp", "-C", str(tmp_path / "msmtprc"), RCPT, stdin=b"Subject: x\n\nhi\n")
        assert code == 0, output
        assert [mail.client.user for mail in door.reception.mails] == ["zabbix"]

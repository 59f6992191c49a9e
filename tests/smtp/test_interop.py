"""Clients in use everywhere, where they are installed."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from argon2 import PasswordHasher

from mailbridge.config.model import User
from tests.support.door import open_door

RCPT = "79991234567@sms.local"
USERS = [User(name="zabbix", password=PasswordHasher(1, 8, 1).hash("s3cret"))]  # type: ignore[arg-type]
CLIENTS = {
    "postfix": ("smtp-source", "-s 5 -m 50 -l 2000 -f a@b.c -t {rcpt} 127.0.0.1:{smtp}", 50),
    "postfix on kept connections": ("smtp-source", "-d -s 5 -m 50 -f a@b.c -t {rcpt} 127.0.0.1:{smtp}", 50),
    "postfix over lmtp": ("smtp-source", "-L -s 5 -m 50 -f a@b.c -t {rcpt} 127.0.0.1:{lmtp}", 50),
    "swaks": ("swaks", "-s 127.0.0.1:{smtp} -f a@b.c -t {rcpt} -au zabbix -ap s3cret --auth PLAIN", 1),
    "swaks pipelining": ("swaks", "-s 127.0.0.1:{smtp} -f a@b.c -t {rcpt} -au zabbix -ap s3cret --auth LOGIN --pipeline", 1),
    "swaks over lmtp": ("swaks", "-s 127.0.0.1:{lmtp} --protocol LMTP -f a@b.c -t {rcpt}", 1),
    "curl": ("curl", "-sS smtp://127.0.0.1:{smtp} --mail-from a@b.c --mail-rcpt {rcpt} -T -", 1),
    "msmtp": ("msmtp", "--host=127.0.0.1 --port={smtp} -f a@b.c {rcpt}", 1),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_delivers(name: str) -> None:
    """The client gets its mails in and is content."""
    program, arguments, count = CLIENTS[name]
    path = shutil.which(program, path="/usr/sbin:/usr/local/bin:/usr/bin:/bin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    async with open_door({"auth": "optional"}, {"protocol": "lmtp"}, users=USERS) as door:
        smtp, lmtp = (address.rpartition(":")[2] for address in door.door.addresses)
        process = await asyncio.create_subprocess_exec(
            path,
            *arguments.format(rcpt=RCPT, smtp=smtp, lmtp=lmtp).split(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(
            process.communicate(b"Subject: x\n\nhi\n" if program != "curl" else b"Subject: x\r\n\r\nhi\r\n"), 30
        )
        assert process.returncode == 0, output
        assert len(door.reception.mails) == count

"""A private Postfix: own configuration, queue and data folders, one loopback port, started and stopped by its master's id.

It relays ``sms.local`` to a bridge and keeps all mail for ``example.org`` in one maildir, so it can be both the mail
server in front of the bridge and the smarthost that takes the bridge's reports.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.support.programs import need, need_root, until, until_greeted

#: nobody: virtual(8) delivers under no id below 100 and not as root
_UID = 65534

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

#: of any instance in a folder of its own, on loopback
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
myhostname = mx.example.org
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relay_domains = sms.local
"""
_MAIN = (
    MAIN
    + """\
smtp_dns_support_level = disabled
smtp_host_lookup = native
transport_maps = inline:{{ {{ sms.local = smtp:[127.0.0.1]:{sms_port} }} }}
virtual_mailbox_domains = example.org
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
"""
)


class Postfix:
    """One running instance."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, sms_port: int = 0, way: str = "", settings: str = "") -> None:
        """Start it with ``sms.local`` behind *sms_port*, or on another *way*, and wait for its greeting.

        *settings* are further lines of its main.cf.
        """
        postfix = need("postfix")
        config = self.folder / "etc"
        for name in ("etc", "queue", "data", "mail/box"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        for path in (self.folder / "mail", self.folder / "mail/box"):
            shutil.chown(path, _UID, _UID)
        main = _MAIN.format(folder=self.folder, sms_port=sms_port, uid=_UID)
        if way:
            main = main.replace(f"smtp:[127.0.0.1]:{sms_port}", way)
        (config / "main.cf").write_text(main + settings)
        (config / "master.cf").write_text(MASTER.format(port=self.port))
        with (self.folder / "log").open("wb") as log:
            # start-fg stays as the parent of the master and ends with it
            self.process = await asyncio.create_subprocess_exec(
                postfix, "-c", str(config), "start-fg", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await until_greeted(self.port, is_alive=lambda: self.process.returncode is None, saying=self.what_it_said)

    async def stop(self) -> None:
        """Stop the master, whose id it keeps in its own queue; its children and its parent follow it."""
        if self.process is None or self.process.returncode is not None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(OSError, ValueError):
                os.kill(int((self.folder / "queue/pid/master.pid").read_text()), how)
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
                return
            except TimeoutError:
                continue
        self.process.kill()
        await self.process.wait()

    def what_it_said(self) -> str:
        """Return its log, for a failing test."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def delivered(self) -> list[EmailMessage]:
        """Return the mails for example.org so far, oldest first."""
        files = (self.folder / "mail/box/new").glob("*")
        ordered = sorted(files, key=lambda file: file.stat().st_mtime_ns)
        return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in ordered]

    async def reports(self, count: int = 1) -> list[EmailMessage]:
        """Wait for *count* delivery reports and return them."""

        def ask() -> list[EmailMessage]:
            return [mail for mail in self.delivered() if mail.get_content_type() == "multipart/report"]

        await until(lambda: len(ask()) >= count, limit_s=45, saying=self.what_it_said)
        return ask()


@asynccontextmanager
async def prepared_postfix(port: int) -> AsyncIterator[Postfix]:
    """Make a Postfix for *port*, not started yet, and stop it and remove all its files in the end."""
    need("postfix")
    need_root("Postfix")
    # not pytest's own folder: the daemons run as another user and must be able to enter it
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-postfix-", dir=tempfile.gettempdir()))
    folder.chmod(0o755)
    postfix = Postfix(folder, port)
    try:
        yield postfix
    finally:
        await postfix.stop()
        shutil.rmtree(folder, ignore_errors=True)

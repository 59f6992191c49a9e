"""A private Zabbix server without its web pages: a host with one trapper item and one trigger, all set up by SQL.

What the vendor's own data brings (media type *Email*, message templates, the action that reports problems to the
administrators) is used as it is; only what a person would fill in by the recipes is changed.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.postgresql import OWNER, PostgreSQL
from tests.support.programs import need, run_program

#: the database a server's own is copied from
FRESH = "fresh"
#: the one item's host and key, as a sender names them
HOST = "db1"
KEY = "disk.used"

#: where Debian and where zabbix.com keep the schema, in the order of loading
_SCHEMAS = (
    ("/usr/share/zabbix-server-pgsql", ("schema.sql.gz", "images.sql.gz", "data.sql.gz")),
    ("/usr/share/zabbix-sql-scripts/postgresql", ("server.sql.gz",)),
)
#: what a notification is made from; the rest, 99 rows of 100, are templates of devices, pictures, dashboards
_TABLES = frozenset(
    (
        "actions", "conditions", "config", "dbversion", "hstgrp", "media_type", "media_type_message",
        "media_type_param", "operations", "opmessage", "opmessage_grp", "role", "role_rule", "users", "users_groups",
        "usrgrp",
    )
)  # fmt: skip

_CONF = """\
ListenIP=127.0.0.1
ListenPort={port}
DBHost={database_folder}
DBName={database}
DBUser={owner}
LogType=console
PidFile={folder}/zabbix_server.pid
SocketDir={folder}
AllowRoot=1
CacheUpdateFrequency=1
StartPollers=0
StartPollersUnreachable=0
StartHistoryPollers=0
StartODBCPollers=0
StartPingers=0
StartDiscoverers=0
StartHTTPPollers=0
StartPreprocessors=1
StartLLDProcessors=1
StartTrappers=1
StartDBSyncers=1
StartAlerters=1
StartEscalators=1
StartTimers=1
"""

#: the action that waits to be enabled, then what is watched: a trapper item, and a trigger of severity High
_WATCH = """\
update actions set status = 0 where name = 'Report problems to Zabbix administrators';
insert into hosts (hostid, host, name) values (990001, '{host}', {host_name});
insert into hosts_groups (hostgroupid, hostid, groupid)
    select 990001, 990001, groupid from hstgrp where name = 'Linux servers';
insert into items (itemid, type, hostid, name, key_, value_type) values (990001, 2, 990001, 'Disk', '{key}', 3);
insert into item_rtdata (itemid) values (990001);
insert into triggers (triggerid, expression, description, priority) values (990001, '{{990001}}>90', {trigger}, 4);
insert into functions (functionid, itemid, triggerid, name, parameter) values (990001, 990001, 990001, 'last', '$');
"""

_CREATE_MEDIA_TYPE = "insert into media_type (mediatypeid, name) values ({id}, {name});\n"
_FILL_MEDIA_TYPE = """\
update media_type set status = 0, type = {type}, smtp_server = {server}, smtp_port = {port}, smtp_email = {email},
    smtp_helo = {helo}, smtp_security = {security}, smtp_authentication = {authentication}, username = {username},
    passwd = {password}, content_type = {message_format}, maxattempts = {attempts}
    where name = {name};
"""
_ADD_MESSAGE = """\
insert into media_type_message (mediatype_messageid, mediatypeid, eventsource, recovery, subject, message)
    values ({id}{recovery}, {id}, 0, {recovery}, {subject}, {message});
"""
_ADD_MEDIA = """\
insert into media (mediaid, userid, mediatypeid, sendto)
    select {id}, userid, mediatypeid, {recipient} from users, media_type
    where users.username = 'Admin' and media_type.name = {name};
"""

#: the words of the web pages, and what the database has for them
_CHOICES = {
    "Email": 0,
    "None": 0,
    "STARTTLS": 1,
    "SSL/TLS": 2,
    "Username and password": 1,
    "HTML": 1,
    "Plain text": 0,
}
_EVENTS = {"Problem": 0, "Problem recovery": 1}


#: of a person signed in to the web pages
_SESSION = "0" * 31 + "1"


@dataclass(frozen=True, kw_only=True)
class MediaType:
    """A media type as a person fills it in, in the words of the web pages, and whom the administrator's media names."""

    recipient: str
    port: int
    name: str = "Email"
    type: str = "Email"
    server: str = "127.0.0.1"
    email: str = "zabbix@example.org"
    helo: str = "zabbix.example.org"
    security: str = "None"
    authentication: str = "None"
    username: str = ""
    password: str = ""
    message_format: str = "Plain text"
    attempts: int = 3
    #: type -> subject and message of a new media type; without them the vendor's of that name is filled in
    messages: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def sql(self, number: int) -> str:
        """Return the statements that do what the person does; *number* parts this one's rows from another's."""
        names = {
            "id": 990000 + number,
            "name": _quoted(self.name),
            "recipient": _quoted(self.recipient),
            "type": _CHOICES[self.type],
            "server": _quoted(self.server),
            "port": self.port,
            "email": _quoted(self.email),
            "helo": _quoted(self.helo),
            "security": _CHOICES[self.security],
            "authentication": _CHOICES[self.authentication],
            "username": _quoted(self.username),
            "password": _quoted(self.password),
            "message_format": _CHOICES[self.message_format],
            "attempts": self.attempts,
        }
        texts = [
            _ADD_MESSAGE.format(id=names["id"], recovery=_EVENTS[kind], subject=_quoted(subject), message=_quoted(text))
            for kind, (subject, text) in self.messages.items()
        ]
        create = [_CREATE_MEDIA_TYPE.format(**names)] if self.messages else []
        return "".join([*create, _FILL_MEDIA_TYPE.format(**names), *texts, _ADD_MEDIA.format(**names)])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def need_zabbix() -> None:
    """Skip the test unless a Zabbix server 6, its schema and its sender are there."""
    need("zabbix_sender")
    said = subprocess.run([need("zabbix_server"), "-V"], capture_output=True, check=False).stdout.decode()
    if not re.match(r"zabbix_server \(Zabbix\) 6\.", said):
        pytest.skip(f"not a Zabbix 6: {said.partition(chr(10))[0]}")
    _schema()


def _schema() -> list[Path]:
    for folder, names in _SCHEMAS:
        files = [Path(folder, name) for name in names]
        if all(file.exists() for file in files):
            return files
    pytest.skip("the PostgreSQL schema of zabbix_server is not installed (scripts/install-test-programs)")


def load_fresh(postgresql: PostgreSQL) -> None:
    """Load the vendor's schema, and the part of its data a notification needs, into the database `FRESH`."""
    postgresql.create(FRESH)
    whole = "".join(gzip.decompress(file.read_bytes()).decode() for file in _schema())
    statements = re.split(r";\n(?=(?:INSERT INTO|CREATE|ALTER|START|COMMIT)\b)", whole)
    insert = re.compile(r'INSERT INTO "?(\w+)"? ')
    wanted = (text for text in statements if not (found := insert.match(text)) or found[1] in _TABLES)
    postgresql.sql(FRESH, ";\n".join(wanted))


def _free_port() -> int:
    """Return a free loopback port below 32768: the server takes no other, and the kernel gives no such one by itself."""
    for port in random.sample(range(20000, 32768), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port below 32768")


class Zabbix:
    """One running server."""

    def __init__(self, folder: Path, postgresql: PostgreSQL) -> None:
        self.folder = folder
        self._postgresql = postgresql
        self._database = folder.name
        self._port = _free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, media: Sequence[MediaType], *, trigger: str, host_name: str) -> None:
        """Set its database up, start it, and wait until it knows its item."""
        self._postgresql.create(self._database, like=FRESH)
        watch = _WATCH.format(host=HOST, key=KEY, trigger=_quoted(trigger), host_name=_quoted(host_name))
        self._postgresql.sql(self._database, watch + "".join(one.sql(n) for n, one in enumerate(media, start=1)))
        names = {"database_folder": self._postgresql.folder, "database": self._database, "owner": OWNER}
        conf = self.folder / "zabbix_server.conf"
        conf.write_text(_CONF.format(port=self._port, folder=self.folder, **names))
        with (self.folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                need("zabbix_server"), "-f", "-c", str(conf), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self.send(0)

    async def stop(self) -> None:
        """Stop it; its main process ends the others."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(20):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def send(self, value: int) -> None:
        """Give the item *value* with the vendor's own sender, again until the server takes it."""
        sender = [need("zabbix_sender"), "-z", "127.0.0.1", "-p", str(self._port)]
        try:
            async with asyncio.timeout(30):
                while (await run_program(*sender, "-s", HOST, "-k", KEY, "-o", str(value))).code != 0:
                    if self._process is None or self._process.returncode is not None:
                        raise AssertionError(f"Zabbix has ended\n{self.what_it_said()}")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"Zabbix takes no value\n{self.what_it_said()}") from None

    async def failed_alert(self) -> str:
        """Wait until Zabbix gives an alert up and return its words about it, as its action log shows them."""
        try:
            async with asyncio.timeout(30):
                while not (error := await asyncio.to_thread(self._alerts, "error", "status = 2")):
                    await asyncio.sleep(0.2)
                return error
        except TimeoutError:
            raise AssertionError(f"Zabbix gave nothing up\n{self.what_it_said()}") from None

    async def press_test(self, media: MediaType) -> str:
        """Send a mail as the button *Test* of that media type does, and return what the page would show."""
        self._postgresql.sql(
            self._database,
            "insert into sessions (sessionid, userid, lastaccess) "
            f"select '{_SESSION}', userid, {int(time.time())} from users where username = 'Admin' on conflict do nothing",
        )
        number = self._postgresql.sql(
            self._database, f"select mediatypeid from media_type where name = {_quoted(media.name)}"
        )
        data = {"mediatypeid": number.strip(), "sendto": media.recipient, "subject": "Test subject", "message": "Test"}
        answer = await self._ask({"request": "alert.send", "sid": _SESSION, "data": data})
        return str(answer.get("info", answer))

    async def _ask(self, question: dict[str, object]) -> dict[str, object]:
        """Ask the server as its web pages do."""
        body = json.dumps(question).encode()
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"ZBXD\x01" + len(body).to_bytes(8, "little") + body)
            answer = await reader.read()
            writer.close()
        return dict(json.loads(answer[13:]))

    def what_it_said(self) -> str:
        """Return its log and its alerts, for a failing test."""
        log = (self.folder / "log").read_text("utf-8", "replace")
        return f"{log}\n{self._alerts('sendto, subject, status, error', 'true')}"

    def _alerts(self, columns: str, condition: str) -> str:
        return self._postgresql.sql(self._database, f"select {columns} from alerts where {condition}").strip()


@asynccontextmanager
async def running_zabbix(
    postgresql: PostgreSQL, *media: MediaType, trigger: str, host_name: str
) -> AsyncIterator[Zabbix]:
    """Run a Zabbix whose administrator has *media*, until the block ends; *postgresql* holds the database `FRESH`."""
    # not pytest's own folder: a socket's path is at most 107 bytes long
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-zabbix-", dir=tempfile.gettempdir()))
    zabbix = Zabbix(folder, postgresql)
    try:
        await zabbix.start(media, trigger=trigger, host_name=host_name)
        yield zabbix
    finally:
        await zabbix.stop()
        shutil.rmtree(folder, ignore_errors=True)

"""A private Nagios Core 4: one host, one service whose state a file tells, and the notification commands of Debian."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.programs import need, until

_MAIN = """\
log_file={folder}/nagios.log
cfg_file={folder}/objects.cfg
object_cache_file={folder}/objects.cache
precached_object_file={folder}/objects.precache
status_file={folder}/status.dat
status_update_interval=1
nagios_user={user}
nagios_group={group}
check_external_commands=1
command_file={folder}/rw/nagios.cmd
lock_file={folder}/nagios.pid
temp_file={folder}/nagios.tmp
temp_path={folder}
check_result_path={folder}/checkresults
check_result_reaper_frequency=1
log_rotation_method=n
use_syslog=0
log_notifications=1
interval_length=1
execute_service_checks=1
execute_host_checks=1
accept_passive_service_checks=1
accept_passive_host_checks=1
enable_notifications=1
enable_flap_detection=0
retain_state_information=0
check_for_updates=0
date_format=iso8601
illegal_object_name_chars=`~!$%^&*|'"<>?,()=
illegal_macro_output_chars=`~$&|'"<>
"""

#: printf lines and subjects are those of Debian's objects/commands.cfg; only mail(1) is told which server to use
_DEBIAN = r"""
define command {{
    command_name    notify-host-by-email
    command_line    /usr/bin/printf "%b" "***** Nagios *****\n\nNotification Type: $NOTIFICATIONTYPE$\nHost: $HOSTNAME$\nState: $HOSTSTATE$\nAddress: $HOSTADDRESS$\nInfo: $HOSTOUTPUT$\n\nDate/Time: $LONGDATETIME$\n" | {mail} -s "** $NOTIFICATIONTYPE$ Host Alert: $HOSTNAME$ is $HOSTSTATE$ **" $CONTACTEMAIL$
}}
define command {{
    command_name    notify-service-by-email
    command_line    /usr/bin/printf "%b" "***** Nagios *****\n\nNotification Type: $NOTIFICATIONTYPE$\n\nService: $SERVICEDESC$\nHost: $HOSTALIAS$\nAddress: $HOSTADDRESS$\nState: $SERVICESTATE$\n\nDate/Time: $LONGDATETIME$\n\nAdditional Info:\n\n$SERVICEOUTPUT$\n" | {mail} -s "** $NOTIFICATIONTYPE$ Service Alert: $HOSTALIAS$/$SERVICEDESC$ is $SERVICESTATE$ **" $CONTACTEMAIL$
}}
define contact {{
    contact_name                  duty
    email                         {recipient}
    host_notification_period      24x7
    service_notification_period   24x7
    host_notification_options     d,u,r
    service_notification_options  w,u,c,r
    host_notification_commands    notify-host-by-email
    service_notification_commands notify-service-by-email
}}
"""

#: of the package nagios4-common
DEBIAN = Path("/etc/nagios4/nagios.cfg")

#: what is watched, for the contact `duty`
_OBJECTS = """\
define command {{
    command_name    read-state
    command_line    {folder}/check
}}
define timeperiod {{
    timeperiod_name 24x7
    alias           always
    sunday          00:00-24:00
    monday          00:00-24:00
    tuesday         00:00-24:00
    wednesday       00:00-24:00
    thursday        00:00-24:00
    friday          00:00-24:00
    saturday        00:00-24:00
}}
define host {{
    host_name              web1
    alias                  web1
    address                192.0.2.10
    max_check_attempts     1
    active_checks_enabled  0
    check_period           24x7
    notification_period    24x7
    notification_interval  0
    contacts               duty
}}
define service {{
    host_name              web1
    service_description    HTTP
    check_command          read-state
    check_interval         1
    retry_interval         1
    max_check_attempts     1
    check_period           24x7
    notification_period    24x7
    notification_interval  0
    contacts               duty
}}
"""


class Nagios:
    """One running instance."""

    def __init__(self, folder: Path, definitions: str) -> None:
        self.folder = folder
        self._definitions = definitions
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Write its configuration, start it in the foreground and wait until it works."""
        nagios = need("nagios4")
        for name in ("rw", "checkresults"):
            (self.folder / name).mkdir(parents=True)
        self.set_service(0, "HTTP OK")
        check = self.folder / "check"
        check.write_text(f"#!/bin/sh\ncat {self.folder}/output\nexit $(cat {self.folder}/state)\n")
        check.chmod(0o755)
        user = pwd.getpwuid(os.getuid())
        names = {"folder": self.folder, "user": user.pw_name, "group": user.pw_gid}
        (self.folder / "nagios.cfg").write_text(_MAIN.format(**names))
        objects = _OBJECTS.format(folder=self.folder) + self._definitions
        (self.folder / "objects.cfg").write_text(objects, encoding="utf-8")
        await self._run(nagios)

    async def _run(self, nagios: str) -> None:
        with (self.folder / "output.log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                nagios, str(self.folder / "nagios.cfg"), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        pipe = self.folder / "rw/nagios.cmd"
        await until(lambda: pipe.exists() or self.process.returncode is not None, saying=self.what_it_said)
        if self.process.returncode is not None:
            raise AssertionError(f"Nagios did not start\n{self.what_it_said()}")

    async def start_as_debian(self, definitions: Path, smtp_port: int) -> None:
        """Start it with the configuration of Debian and *definitions* in its folder for more; no check is run."""
        nagios = need("nagios4")
        for name in ("rw", "spool/checkresults", "conf.d"):
            (self.folder / name).mkdir(parents=True)
        text = DEBIAN.read_text(encoding="utf-8")
        for there in ("/var/lib/nagios4", "/var/log/nagios4", "/var/run/nagios4"):
            text = text.replace(there, str(self.folder))
        user = pwd.getpwuid(os.getuid())
        changes = {
            "cfg_dir=/etc/nagios4/conf.d": f"cfg_dir={self.folder}/conf.d", "use_syslog=1": "use_syslog=0",
            "nagios_user=nagios": f"nagios_user={user.pw_name}", "nagios_group=nagios": f"nagios_group={user.pw_gid}",
            "execute_service_checks=1": "execute_service_checks=0", "execute_host_checks=1": "execute_host_checks=0",
            "check_for_updates=1": "check_for_updates=0", "temp_path=/tmp": f"temp_path={self.folder}",
            "check_result_reaper_frequency=10": "check_result_reaper_frequency=1",
        }  # fmt: skip
        for old, new in changes.items():
            text = text.replace(f"\n{old}\n", f"\n{new}\n")
        (self.folder / "nagios.cfg").write_text(text, encoding="utf-8")
        more = definitions.read_text("utf-8").replace("127.0.0.1:2525", f"127.0.0.1:{smtp_port}")
        (self.folder / "conf.d" / definitions.name).write_text(more, encoding="utf-8")
        await self._run(nagios)

    async def stop(self) -> None:
        """Stop it."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            try:
                async with asyncio.timeout(15):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()

    def set_service(self, state: int, output: str) -> None:
        """Let the next check of the service find *state* (0 to 3), with *output*."""
        (self.folder / "output").write_text(output + "\n", encoding="utf-8")
        (self.folder / "state").write_text(f"{state}\n")

    def runs(self, command: str) -> None:
        """Let the service's check be *command* from now on."""
        new = self.folder / "check.new"
        new.write_text(f"#!/bin/sh\nexec {command}\n")
        new.chmod(0o755)
        new.rename(self.folder / "check")

    async def service(self, is_seen: Callable[[Mapping[str, str]], object]) -> Mapping[str, str]:
        """Wait until what Nagios keeps of the service satisfies *is_seen*, and return it: names as in status.dat."""

        def ask() -> Mapping[str, str] | None:
            file = self.folder / "status.dat"
            text = file.read_text("utf-8", "replace") if file.exists() else ""
            block = text.partition("servicestatus {")[2].partition("}")[0]
            fields = dict(line.strip().split("=", 1) for line in block.splitlines() if "=" in line)
            return fields if fields and is_seen(fields) else None

        found = await until(ask, saying=self.what_it_said)
        assert found is not None
        return found

    def command(self, line: str) -> None:
        """Write an external command; the time is put before it."""
        with (self.folder / "rw/nagios.cmd").open("w") as pipe:
            pipe.write(f"[{int(time.time())}] {line}\n")

    def what_it_said(self) -> str:
        """Return its log, for a failing test."""
        files = [self.folder / name for name in ("output.log", "nagios.log")]
        return "\n".join(file.read_text("utf-8", "replace") for file in files if file.exists())


def s_nail(smtp_port: int) -> str:
    """Return a command in place of ``mail`` that sends to the mail server on *smtp_port*."""
    return (
        f"MAILRC=/dev/null LC_ALL=C.UTF-8 {need('s-nail')} -n -S v15-compat -S mta=smtp://127.0.0.1:{smtp_port} "
        "-S smtp-auth=none -S sendwait -S from=nagios@example.org -S hostname=monitor.example.org"
    )


def commands_of_debian(mail: str, recipient: str) -> str:
    """Return the distribution's notification commands, with *mail* for their mailer, and a contact that uses them."""
    return _DEBIAN.format(mail=mail, recipient=recipient)


@asynccontextmanager
async def running_nagios(folder: Path, definitions: str) -> AsyncIterator[Nagios]:
    """Run a Nagios until the block ends; *definitions* are its notification commands and its contact ``duty``."""
    nagios = Nagios(folder, definitions)
    try:
        await nagios.start()
        yield nagios
    finally:
        await nagios.stop()


@asynccontextmanager
async def nagios_of_debian(folder: Path, definitions: Path, smtp_port: int) -> AsyncIterator[Nagios]:
    """Run a Nagios as Debian sets it up, with one file more in its ``conf.d``, until the block ends."""
    nagios = Nagios(folder, "")
    try:
        await nagios.start_as_debian(definitions, smtp_port)
        yield nagios
    finally:
        await nagios.stop()

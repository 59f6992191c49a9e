"""A Postfix for the benchmarks: an instance of its own on a loopback port, in its own folder.

It takes mail for ``sms.local``. Without a gateway it only takes it: to disk, into its hold queue, which nobody empties.
With one it hands each mail to pipe(8), which starts a curl, as a page on the net would have it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import rig
from tests.support.postfix import MAIN, MASTER
from tests.support.programs import free_port

#: deliveries at a time; Postfix's own limit for one domain would be 20
CURLS = 50

_HOLDS = "smtpd_recipient_restrictions = check_recipient_access static:HOLD\n"
_SENDS = f"""\
relay_transport = sms
sms_destination_recipient_limit = 1
sms_initial_destination_concurrency = {CURLS}
sms_destination_concurrency_limit = {CURLS}
"""
_CURL = (
    "sms unix - n n - {curls} pipe flags=q user=nobody argv={curl} -sf -o /dev/null --data phones=${{user}} "
    "--data id=1 --data-urlencode mes@- http://127.0.0.1:{port}/sys/send.php\n"
)


@dataclass(frozen=True)
class Postfix:
    """A running instance."""

    server: rig.Server
    folder: Path

    def empty_hold(self) -> None:
        """Throw away what was taken."""
        for file in (self.folder / "queue/hold").glob("*"):
            file.unlink(missing_ok=True)


@contextmanager
def running(parent: Path | None, *, gateway_port: int | None = None) -> Iterator[Postfix]:
    """Run one in a folder under *parent*, which other users must be able to enter. Raises: rig.Unavailable."""
    program = rig.need_program("postfix")
    if os.geteuid() != 0:
        raise rig.Unavailable("Postfix starts as root only")
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-postfix-", dir=parent or tempfile.gettempdir()))
    folder.chmod(0o755)
    try:
        port = free_port()
        _configure(folder, port, gateway_port)
        with (folder / "log").open("wb") as log:
            # start-fg stays as the parent of the master and ends with it
            process = subprocess.Popen(
                [program, "-c", folder / "etc", "start-fg"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            rig.wait_until_greeted(process, port, folder / "log")
            yield Postfix(rig.Server(port, psutil.Process(process.pid)), folder)
        finally:
            _stop(process, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path, port: int, gateway_port: int | None) -> None:
    for name in ("etc", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    main, master = f"{MAIN.format(folder=folder)}smtpd_peername_lookup = no\n", MASTER.format(port=port)
    if gateway_port is None:
        main += _HOLDS
    else:
        main += _SENDS
        master += _CURL.format(curls=CURLS, curl=rig.need_program("curl"), port=gateway_port)
    (folder / "etc/main.cf").write_text(main)
    (folder / "etc/master.cf").write_text(master)


def _stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop the master, whose id it keeps in its own queue; its children and its parent follow it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError, ValueError):
            os.kill(int((folder / "queue/pid/master.pid").read_text()), how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
            return
    process.kill()
    process.wait()

"""What somebody would pick instead: mailrise in an environment of its own, Postfix with curl, the plain script."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import yaml

from bench import postfix, rig
from bench.turns import Contestant, Say
from tests.support.programs import free_port

MAILRISE = "1.4.0"
#: kept between runs
_VENV = rig.ROOT / "build" / "bench" / f"mailrise-{MAILRISE}"


def enter_all(stack: ExitStack, folder: Path, gateway: rig.Gateway, say: Say) -> dict[str, Contestant]:
    """Start every rival that can run here, to be stopped by *stack*; say why the others cannot."""
    field = {}

    def ready(server: rig.Server) -> Contestant:
        return Contestant([server], gateway)

    for name, start in {
        "plain script, 250 at once": lambda: ready(stack.enter_context(plain(gateway.port, "at-once"))),
        "plain script, 250 after the answer": lambda: ready(stack.enter_context(plain(gateway.port, "wait"))),
        "mailrise": lambda: ready(stack.enter_context(mailrise(folder, gateway.port))),
        "Postfix + curl": lambda: ready(
            stack.enter_context(postfix.running(folder.parent, gateway_port=gateway.port)).server
        ),
    }.items():
        try:
            field[name] = start()
        except (rig.Unavailable, RuntimeError, OSError) as error:
            say(f"{name} is left out: {error}")
    return field


@contextmanager
def plain(gateway_port: int, how: str) -> Iterator[rig.Server]:
    """Run the plain script."""
    with rig.script("plain.py", str(gateway_port), how) as server:
        yield server


@contextmanager
def mailrise(folder: Path, gateway_port: int) -> Iterator[rig.Server]:
    """Run mailrise, which hands each mail to Apprise's form:// and answers when that is done. Raises: Unavailable."""
    program = _installed_mailrise()
    port = free_port()
    url = f"form://127.0.0.1:{gateway_port}/sys/send.php"
    config = {"configs": {"*@sms.local": {"urls": [url]}}, "listen": {"host": "127.0.0.1", "port": port}}
    path = folder / "mailrise.conf"
    path.write_text(yaml.safe_dump(config))
    with (folder / "mailrise.log").open("w") as log, rig.child(program, path, stdout=log, stderr=log) as process:
        rig.wait_until_greeted(process, port, folder / "mailrise.log")
        yield rig.Server(port, psutil.Process(process.pid))


def _installed_mailrise() -> Path:
    program = _VENV / "bin" / "mailrise"
    if program.exists():
        return program
    shutil.rmtree(_VENV, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", _VENV],
        [_VENV / "bin/python", "-m", "pip", "install", "--quiet", f"mailrise=={MAILRISE}"],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(_VENV, ignore_errors=True)
            raise rig.Unavailable(f"mailrise cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return program

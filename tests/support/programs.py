"""Foreign programs a test talks to: where they are, or one line saying why the test is skipped."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

#: daemons live where an ordinary user's PATH does not look
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def need(program: str) -> str:
    """Return the path of *program*, or skip the test."""
    found = shutil.which(program, path=_PATH)
    if found is None:
        pytest.skip(f"{program} is not installed (scripts/install-test-programs)")
    return found


def need_root(what: str) -> None:
    """Skip the test unless it runs as root."""
    if os.geteuid() != 0:
        pytest.skip(f"{what} starts as root only")


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Ended:
    """How a program ended, and all it said."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.output = output

    def __repr__(self) -> str:
        return f"exit {self.code}:\n{self.output}"


async def run_program(
    *command: str | Path, text: bytes = b"", env: Mapping[str, str] | None = None, limit_s: float = 30.0,
    cwd: Path | None = None,
) -> Ended:  # fmt: skip
    """Run *command* to its end with *text* as its input, without stopping the loop the servers of the test run in."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate(text)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode, output.decode("utf-8", "replace"))


async def until(ask: Callable[[], T], *, limit_s: float = 30.0, saying: Callable[[], str] = lambda: "") -> T:
    """Return the first true answer of *ask*; fail with the words of *saying* when none comes in time."""
    try:
        async with asyncio.timeout(limit_s):
            while not (answer := ask()):
                await asyncio.sleep(0.02)
            return answer
    except TimeoutError:
        raise AssertionError(f"nothing within {limit_s} s\n{saying()}") from None


async def until_seen(
    ask: Callable[[], Awaitable[T]],
    *,
    limit_s: float = 30.0,
    pause_s: float = 0.1,
    saying: Callable[[], str] = lambda: "",
) -> T:
    """Return the first true answer of *ask*, which has to be waited for; else as ``until``."""
    answer: T | None = None
    try:
        async with asyncio.timeout(limit_s):
            while not (answer := await ask()):
                await asyncio.sleep(pause_s)
            return answer
    except TimeoutError:
        raise AssertionError(f"nothing within {limit_s} s, at last {answer!r}\n{saying()}") from None


async def until_greeted(port: int, *, is_alive: Callable[[], bool], saying: Callable[[], str]) -> None:
    """Wait until something on *port* greets like a mail server; fail at once when its program has ended."""
    async with asyncio.timeout(30):
        while is_alive():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            greeting = await reader.read(4)
            writer.write(b"QUIT\r\n")
            await reader.read()
            writer.close()
            if greeting == b"220 ":
                return
    raise AssertionError(f"no greeting on port {port}\n{saying()}")

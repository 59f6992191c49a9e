"""Where log lines leave: one event a line, gathered, and never in the service's way.

A full disk, a closed pipe or one nobody reads is not the service's trouble: what can't leave now waits, up to a limit,
and what is lost is counted and said.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import time
from collections.abc import Callable
from typing import TextIO

#: lines that come within so long of a write wait for the next one
_GATHER_S = 0.02
#: what waits for a log that takes nothing now: some thousand lines
_MOST_WAITING = 1_000_000
_RETRY_S = 0.5
_LINE_END = ord("\n")


class Lines:
    """Writes lines to *out*; *tell_lost* is called with how many were lost when it takes lines again.

    Within a loop, a lone line leaves in the next turn and what comes within ``_GATHER_S`` after it leaves together:
    a write can wait for the disk, and the loop with it.
    """

    def __init__(self, out: TextIO, tell_lost: Callable[[int], None]) -> None:
        self._sink: _Descriptor | _Text = _sink_of(out)
        self._tell_lost = tell_lost
        self._waiting: list[str] = []
        self._chars = 0
        self._lost = 0
        #: the loop that has been asked to write what waits, soon or when the pipe takes something again
        self._asked: asyncio.AbstractEventLoop | None = None
        self._written_at = 0.0

    def msg(self, line: str) -> None:
        """Take one line, without its end."""
        if self._chars + self._sink.left > _MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(line)
        self._chars += len(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.write()
            return
        if loop is not self._asked:
            self._asked = loop
            since_s = time.monotonic() - self._written_at
            loop.call_later(_GATHER_S - since_s if since_s < _GATHER_S else 0, self.write, loop)

    def write(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Write what waits; what the pipe does not take now leaves later, where there is a *loop* to wait in."""
        lines, self._waiting, self._chars = self._waiting, [], 0
        self._asked = None
        self._written_at = time.monotonic()
        try:
            self._sink.write("".join(f"{line}\n" for line in lines))
        except (OSError, ValueError):
            self._lost += len(lines)  # nowhere left to say it
            return
        if self._sink.left:
            self._wait(loop)
        elif self._lost:
            lost, self._lost = self._lost, 0
            self._tell_lost(lost)

    def _wait(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Write again when something can leave; without a loop, that is with the next line."""
        if loop is None:
            return
        self._asked = loop
        fd = self._sink.fd

        def ready() -> None:
            loop.remove_writer(fd)
            self.write(loop)

        try:
            loop.add_writer(fd, ready)
        except (OSError, NotImplementedError):
            loop.call_later(_RETRY_S, self.write, loop)

    debug = info = warning = error = critical = msg


class _Text:
    """Something that is no file of the system."""

    fd = -1
    left = 0

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class _Descriptor:
    """A file, a pipe, a socket or a terminal; the last three are written to only while that does not block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._start = self._rest = b""
        self._poll: select.poll | None = None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    @property
    def left(self) -> int:
        """How many bytes still have to leave."""
        return len(self._rest)

    def write(self, text: str) -> None:
        """Write what was left and then *text*, as much as leaves now. Raises OSError; the whole is dropped then."""
        data = memoryview(self._start + self._rest + text.encode("utf-8", "replace"))
        torn = bool(self._start)
        self._rest = b""
        try:
            while data and self._is_ready():
                written = os.write(self.fd, data if self._poll is None else data[: select.PIPE_BUF])
                torn = data[written - 1] != _LINE_END
                data = data[written:]
        except BlockingIOError:  # whoever gave it to us made it so
            pass
        except OSError:
            # what comes next must not stand on the line that was cut off
            self._start = b"\n" if torn else b""
            raise
        self._rest, self._start = bytes(data), b""

    def _is_ready(self) -> bool:
        # a reader that is gone is ready, too: the write then says so
        return self._poll is None or bool(self._poll.poll(0))


def _sink_of(out: TextIO) -> _Descriptor | _Text:
    try:
        return _Descriptor(out.fileno())
    except (OSError, ValueError):
        return _Text(out)

"""Stands between a client and PostgreSQL and cuts the line at the worst moment: around a COMMIT."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"


class Cut(Enum):
    """When the line is cut, once."""

    #: the server never hears of the COMMIT
    BEFORE_COMMIT = "before"
    #: the server commits and nobody hears of it
    AFTER_COMMIT = "after"


class PostgreSQLProxy:
    """A socket in *folder* that leads to the server whose socket is in *server*."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = server
        #: what to do at the next COMMIT
        self.cut: Cut | None = None
        self.cuts = 0
        self._lines: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """End all lines."""
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection's bytes both ways until one end closes or the line is cut."""
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        ends = [writer]
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_unix_connection(self._server / _SOCKET)
            ends.append(back)
            answers = asyncio.create_task(self._pass(there, writer))
            try:
                await self._pass_requests(reader, back, answers)
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
        for end in ends:
            end.close()
        for end in ends:
            with suppress(OSError):
                await end.wait_closed()
        self._lines.discard(line)

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def _pass_requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        while data := await reader.read(65536):
            if self.cut is None or b"COMMIT" not in data:
                server.write(data)
                await server.drain()
                continue
            cut, self.cut = self.cut, None
            self.cuts += 1
            answers.cancel()
            if cut is Cut.AFTER_COMMIT:
                server.write(data)
                await server.drain()
            return


@asynccontextmanager
async def postgresql_proxy(server: Path) -> AsyncIterator[PostgreSQLProxy]:
    """Run a proxy to the server whose socket is in *server* until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-pgp-", dir=tempfile.gettempdir()))
    proxy = PostgreSQLProxy(folder, server)
    try:
        async with await asyncio.start_unix_server(proxy.serve, folder / _SOCKET):
            yield proxy
            await proxy.aclose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

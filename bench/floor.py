"""The floor of the comparison: aiosmtpd on uvloop with a handler that throws every mail away.

python bench/floor.py        prints its port, runs until it is terminated
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiosmtpd.smtp import SMTP


class Discard:
    async def handle_DATA(self, _server, _session, _envelope) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 Ok"


async def main() -> None:
    handler = Discard()
    # with a hostname: without one aiosmtpd looks its own name up for each connection
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, hostname="floor.example.org"), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1])
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

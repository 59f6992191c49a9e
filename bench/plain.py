"""The honest rival: the fifty lines somebody would write instead, on aiosmtpd and aiohttp.

    python bench/plain.py GATEWAY_PORT [wait|at-once]      prints its port, runs until it is terminated

``wait`` answers 250 when the gateway has the message; ``at-once`` answers and sends afterwards, so that a crash loses
whatever is in memory. It keeps nothing on disk, knows no duplicates, retries nothing, and opens as many requests as
aiohttp lets it (100), where the real gateway refuses the fifteenth.
"""

from __future__ import annotations

import asyncio
import email
import sys
from email.header import decode_header, make_header

import aiohttp
import uvloop
from aiosmtpd.smtp import SMTP


class Forward:
    def __init__(self, http: aiohttp.ClientSession, url: str, *, waits: bool) -> None:
        self._http = http
        self._url = url
        self._waits = waits
        self._tasks: set[asyncio.Task[bool]] = set()

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        mail = email.message_from_bytes(envelope.content)
        part = next(part for part in mail.walk() if part.get_content_maintype() == "text")
        body = part.get_payload(decode=True).decode(part.get_content_charset("utf-8"), "replace").strip()
        text = f"{make_header(decode_header(mail.get('Subject', '')))}: {body}"[:800]
        for address in envelope.rcpt_tos:
            sending = asyncio.ensure_future(self._send("+" + address.partition("@")[0], text))
            if self._waits:
                if not await sending:
                    return "451 try again"
            else:
                self._tasks.add(sending)
                sending.add_done_callback(self._tasks.discard)
        return "250 Ok"

    async def _send(self, phone: str, text: str) -> bool:
        form = {"login": "bench", "psw": "bench", "phones": phone, "mes": text, "charset": "utf-8", "fmt": "3"}
        async with self._http.post(self._url, data=form) as answer:
            return "id" in await answer.json(content_type=None)


async def main() -> None:
    url, waits = f"http://127.0.0.1:{sys.argv[1]}/sys/send.php", sys.argv[2:] != ["at-once"]
    async with aiohttp.ClientSession() as http:
        handler = Forward(http, url, waits=waits)
        # with a hostname: without one aiosmtpd looks its own name up for each connection
        server = await asyncio.get_running_loop().create_server(
            lambda: SMTP(handler, hostname="plain.example.org"), "127.0.0.1", 0, backlog=1024
        )
        print(server.sockets[0].getsockname()[1])
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

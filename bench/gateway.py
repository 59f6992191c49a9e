"""A lean SMSC for the benchmarks: takes every message, says it is delivered when asked, counts, answers late.

    python bench/gateway.py [DELAY_MS]      prints its port, runs until it is terminated

``GET /`` returns what it has seen; ``GET /arrivals`` when each phone's message came, since it was asked that last.
It reads no more of a request than it needs, because its CPU time is taken from the same cores as the bridge's.
What names no phone counts as one message: not every rival fills the gateway's form in.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import unquote_plus

import uvloop


class Seen:
    def __init__(self) -> None:
        self.messages = 0
        self.requests = 0
        self.questions = 0
        self.status_requests = 0
        #: phone -> CLOCK_MONOTONIC, one for all processes of the machine; None until somebody asks
        self.arrivals: dict[str, float] | None = None

    def counts(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    def take_arrivals(self) -> dict[str, float]:
        taken, self.arrivals = self.arrivals or {}, {}
        return taken


class Answering(asyncio.Protocol):
    def __init__(self, seen: Seen, delay_s: float) -> None:
        self._seen = seen
        self._delay_s = delay_s
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            _, found, length = head.partition(b"content-length: ")
            whole = end + 4 + (int(length.split(b"\r\n")[0]) if found else 0)
            if len(self._buffer) < whole:
                return
            body = self._buffer[end + 4 : whole].decode("ascii")
            del self._buffer[:whole]
            self._take(head, body)

    def _take(self, head: bytes, body: str) -> None:
        if head.startswith(b"get "):
            seen = self._seen.take_arrivals() if head.startswith(b"get /arrivals") else self._seen.counts()
            self._write(json.dumps(seen))
            return
        self._at = time.monotonic()
        params = dict(pair.partition("=")[::2] for pair in body.split("&"))
        answer = self._status(params) if b"status.php" in head[:80] else self._send(params)
        self._loop.call_later(self._delay_s, self._write, answer)

    def _send(self, params: dict[str, str]) -> str:
        if "list" in params:
            phones = [record.partition(":")[0] for record in unquote_plus(params["list"]).split("\n")]
        else:
            phones = unquote_plus(params.get("phones", "")).split(",")
        self._seen.requests += 1
        self._seen.messages += len(phones)
        if self._seen.arrivals is not None:
            for phone in phones:
                self._seen.arrivals.setdefault(phone.lstrip("+"), self._at)
        rows = ",".join(f'{{"phone":"{phone[1:]}","mccmnc":"25001","cost":"1.4"}}' for phone in phones)
        return f'{{"id":{params.get("id", "0")},"cnt":{len(phones)},"cost":"1.4","balance":"100.5","phones":[{rows}]}}'

    def _status(self, params: dict[str, str]) -> str:
        phones = unquote_plus(params["phone"]).strip(",").split(",")
        ids = unquote_plus(params["id"]).strip(",").split(",")
        self._seen.status_requests += 1
        self._seen.questions += len(ids)
        known = (
            '{{"status":1,"last_date":"01.01.2026 10:00:00","last_timestamp":1767250800,"err":0,"id":{},"phone":"{}"}}'
        )
        rows = [known.format(id_, phone.lstrip("+")) for id_, phone in zip(ids, phones, strict=True)]
        return f"[{','.join(rows)}]"

    def _write(self, body: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body.encode()))


async def main() -> None:
    seen, delay_s = Seen(), float(sys.argv[1] if len(sys.argv) > 1 else "50") / 1000
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(seen, delay_s), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1])
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())

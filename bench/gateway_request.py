"""What one request to the gateway costs this process: encoding, HTTP, decoding; one message and a hundred at once.

    python bench/gateway_request.py

The server runs in its own process and answers a fixed body, so that only the client's work is on the clock.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import time
from contextlib import suppress
from multiprocessing.connection import Connection

import uvloop

from mailbridge.config.model import SmscGateway as Settings
from mailbridge.gateway.contract import Batch
from mailbridge.gateway.smsc import codec
from mailbridge.gateway.smsc.answers import parse_answer
from mailbridge.gateway.smsc.client import SmscGateway
from mailbridge.gateway.smsc.verdict import judge_send
from mailbridge.model.message import Alphabet, Message
from mailbridge.model.outcome import Accepted
from mailbridge.model.phone import Phone

TEXT = "PROBLEM: db1/disk is CRITICAL since 10:42, 97 % of /var used, see https://icinga.example.org/db1"


def messages(count: int) -> tuple[Message, ...]:
    return tuple(
        Message(
            phone=Phone(f"+7999{n:07}"),
            channel="sms",
            sender="ACME",
            text=f"{TEXT} {n}",
            alphabet=Alphabet.GSM7,
            parts=1,
        )
        for n in range(count)
    )


def answer_for(batch: Batch) -> bytes:
    phones = [{"phone": m.phone[1:], "mccmnc": "25001", "cost": "1.4"} for m in batch.messages]
    return json.dumps({"id": 5001, "cnt": len(phones), "cost": "1.4", "balance": "100.5", "phones": phones}).encode()


def serve(port_to: Connection, body: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                writer.write(reply)

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1_000_000)
        port_to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def measure(port: int, batch: Batch, rounds: int) -> tuple[float, float]:
    gateway = SmscGateway("bench", Settings(url=[f"http://127.0.0.1:{port}"], login="acme"))
    outcomes = await gateway.send(batch)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes), outcomes[0]
    cpu, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(rounds):
        await gateway.send(batch)
    end = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - wall
    await gateway.aclose()
    used = end.ru_utime + end.ru_stime - cpu.ru_utime - cpu.ru_stime
    return used / rounds * 1e6, wall / rounds * 1e6


def timed(function, *args, rounds: int = 2000) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        function(*args)
    return (time.perf_counter() - start) / rounds * 1e6


def main() -> None:
    prefix = codec.credentials(login="acme", password="x", apikey=None)
    for count, rounds in ((1, 2000), (100, 300)):
        batch = Batch(gateway_id="5001", messages=messages(count))
        body = answer_for(batch)
        here, there = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(there, body), daemon=True)
        server.start()
        cpu, wall = uvloop.run(measure(here.recv(), batch, rounds))
        server.terminate()
        server.join()
        encode = timed(codec.send_body, prefix, batch, rounds=rounds)
        decode = timed(lambda b=body, q=batch: judge_send(parse_answer(b), q), rounds=rounds)
        pure = f"encode {encode:6.0f} µs, decode {decode:6.0f} µs"
        print(f"{count:4} messages: {cpu:7.0f} µs CPU, {wall:7.0f} µs wall; {pure}")


if __name__ == "__main__":
    main()

"""Faults from outside, F1 to F18 of the promise 'nothing lost, nothing sent twice, everybody told', on one node.

The gateway's own misbehaviour is in process with one fake clock; what the system does to a process meets the real one.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import resource
import signal
import smtplib
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import yaml

from mailbridge.model.state import State
from mailbridge.simulator.server import Simulator
from tests.support.bridge import Bridge, base_config, merged, running_bridge
from tests.support.house import id_of, running_house
from tests.support.programs import Ended, free_port, need, need_root, run_program, until, until_seen

PHONE = "+79161234567"
NAME = "79161234567"


# ------------------------------------------------------------------------------------- the gateway, in process
@pytest.mark.parametrize("wire", ["hang", "close", "reset", "cut", "empty", "html", "garbage", "http-500", "http-307"])
async def test_what_was_taken_without_an_answer_is_found_and_not_sent_again(wire: str) -> None:
    """F1, F3: the gateway took the request and then said nothing usable: asked about, found, one request."""
    async with running_house(gateway={"timeout": "300ms"}) as house:
        house.fault(wire=wire, stage="after", methods=["send"], times=1)
        row_id = f"{id_of(await house.mail(NAME))}.1"
        row = await house.state(row_id, State.UNKNOWN)
        assert row.error is not None
        await house.state(row_id, State.SENT, State.DELIVERED)
        await house.pass_s(400, step_s=20)
        assert len(house.requests()) == 1


@pytest.mark.parametrize("wire", ["close", "garbage", "http-502"])
async def test_what_was_not_taken_goes_out_once_after_the_quarantine(wire: str) -> None:
    """F3: a new id, not before the quarantine is over, and one SMS."""
    async with running_house() as house:
        house.fault(wire=wire, stage="before", methods=["send"], times=1)
        row_id = f"{id_of(await house.mail(NAME))}.1"
        await house.state(row_id, State.UNKNOWN)
        await house.pass_s(140, step_s=10)
        assert len(house.requests()) == 1
        await house.pass_s(30, step_s=5)
        await house.state(row_id, State.SENT, State.DELIVERED)
        first, second = house.requests()
        assert first["id"] != second["id"]
        assert len(house.simulator.inbox) == 1


async def test_a_gateway_that_cannot_be_reached_takes_no_attempt_back() -> None:
    """F2: refused before a byte left: queued, mail is accepted on, sent when it is back; no question is asked."""
    url = f"http://127.0.0.1:{free_port()}"
    async with running_house(gateway={"url": [url]}) as house:
        row_id = f"{id_of(await house.mail(NAME))}.1"
        await house.pass_s(3)
        row = (await house.store.get_messages(row_id))[0]
        assert row.state is State.QUEUED
        assert row.error is not None
        assert row.error.code == "connect"
        assert (await house.mail(NAME, text="second"))[0] == 250
        assert house.requests("status") == []


async def test_error_9_is_retried_after_its_minute_and_proves_nothing() -> None:
    """F5: not before 61 s, and the ledger shows one SMS."""
    async with running_house() as house:
        house.fault(code=9, methods=["send"], times=1)
        row_id = f"{id_of(await house.mail(NAME))}.1"
        await house.state(row_id, State.QUEUED)
        await house.pass_s(55, step_s=5)
        assert len(house.requests()) == 1
        await house.pass_s(20, step_s=2)
        await house.state(row_id, State.SENT, State.DELIVERED)
        assert len(house.simulator.inbox) == 1


@pytest.mark.slow
@pytest.mark.parametrize("code", [2, 3, 4])
async def test_a_suspended_gateway_keeps_the_mails_and_is_not_hammered(code: int) -> None:
    """F6, F7: no attempt is spent, ten minutes see a handful of requests, and it resumes without a restart."""
    async with running_house() as house:
        house.fault(code=code, methods=["send", "balance"])
        row_id = f"{id_of(await house.mail(NAME))}.1"
        await house.pass_s(600, step_s=15)
        row = (await house.store.get_messages(row_id))[0]
        assert (row.state, row.attempts) == (State.QUEUED, 0)
        assert len(house.requests()) == 1
        assert len(house.requests("balance")) <= 6
        house.simulator.carrier.clear_faults()
        await house.pass_s(3700, step_s=60)
        await house.state(row_id, State.SENT, State.DELIVERED)


# ------------------------------------------------------------------------------------------- the real program
def _deliver(port: int, text: str = "the text", *, to: str = NAME) -> tuple[int, str]:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        client.rcpt(f"{to}@sms.local")
        code, words = client.data(f"From: nagios@example.org\r\nMessage-ID: <{text.replace(' ', '')}@x>\r\n\r\n{text}")
        return code, words.decode()


async def deliver(bridge: Bridge, text: str = "the text") -> tuple[int, str]:
    """Send one mail and return the answer to DATA."""
    return await asyncio.to_thread(_deliver, bridge.port, text)


async def is_taken(bridge: Bridge) -> bool:
    """Send a mail unlike any other and tell whether it was taken."""
    return (await deliver(bridge, f"mail {time.monotonic()}"))[0] == 250


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Mount a disk of 2 MB."""
    need_root("a disk of its own")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(filler: Path) -> None:
    """Let *filler* take all the room that is left on its disk."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.slow
async def test_a_full_disk_defers_mails_and_heals_by_itself(tmp_path: Path, small_disk: Path) -> None:
    """F11: 452 while there is no room, what was queued before still ends, and 250 again when there is room."""
    changes = {"queue": {"url": f"sqlite:///{small_disk}/queue.db"}}
    async with running_bridge(tmp_path, changes) as bridge:
        assert (await deliver(bridge, "before"))[0] == 250
        filler = small_disk / "filler"
        fill(filler)
        answers = [await deliver(bridge, f"mail {number} " + "y" * 200) for number in range(60)]
        codes = [code for code, _ in answers]
        assert set(codes) <= {250, 452}
        assert 452 in codes
        assert all(words.startswith("4.3.1") for code, words in answers if code == 452)
        filler.unlink()
        await until_seen(lambda: is_taken(bridge), limit_s=10)
        taken = 2 + codes.count(250)
        messages = await bridge.messages(taken)
        assert len({message["text"] for message in messages}) == taken == len(messages)


@pytest.mark.slow
async def test_on_a_full_disk_the_queue_drains(tmp_path: Path, small_disk: Path) -> None:
    """F11: without a byte left, new mails get 452 and what was promised goes out; with room mails are taken again."""
    async with running_bridge(tmp_path, {"queue": {"url": f"sqlite:///{small_disk}/queue.db"}}) as bridge:
        assert (await bridge.verb("gateways", "suspend", "main")).code == 0
        await until(lambda: bridge.events_called("gateway suspended"))
        codes = [(await deliver(bridge, f"mail {number}"))[0] for number in range(10)]
        filler = small_disk / "filler"
        fill(filler)
        codes += [(await deliver(bridge, f"mail {number}"))[0] for number in range(10, 60)]
        assert set(codes) == {250, 452}
        assert set(codes[-10:]) == {452}
        assert bridge.simulator.inbox == []
        assert (await bridge.verb("gateways", "resume", "main")).code == 0
        kept = codes.count(250)
        assert len({message["text"] for message in await bridge.messages(kept)}) == kept
        fill(small_disk / "the rest")
        assert (await deliver(bridge, "still full"))[0] == 452
        filler.unlink()
        (small_disk / "the rest").unlink()
        await until_seen(lambda: is_taken(bridge), limit_s=10)
        assert len(await bridge.messages(kept + 1)) == kept + 1


@pytest.mark.slow
async def test_a_foreign_writer_defers_mails_and_stops_nobody_else(tmp_path: Path) -> None:
    """F12: 451 within the busy time-out, the loop serves on, and afterwards everything goes as before."""
    async with running_bridge(tmp_path) as bridge:
        foreign = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        answer = asyncio.create_task(deliver(bridge, "locked out"))
        # it is read, and waits for the store
        await until(lambda: bridge.events_called("received"))
        greeted = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        assert (await reader.readline()).startswith(b"220 ")
        assert time.monotonic() - greeted < 2
        writer.close()
        code, words = await answer
        assert (code, words[:5]) == (451, "4.3.0")
        assert time.monotonic() - started < 6.5
        foreign.execute("ROLLBACK")
        foreign.close()
        assert (await deliver(bridge, "let in"))[0] == 250
        assert [message["text"] for message in await bridge.messages(1)] == ["let in"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["garbage", "empty", "newer", "log without file", "no folder"])
async def test_a_queue_that_cannot_be_trusted_is_not_served(tmp_path: Path, damage: str) -> None:
    """F13: refused to start with words for the operator, no traceback, and the file is kept as it was."""
    async with Simulator() as gateway:
        bridge = Bridge(tmp_path, gateway)
        queue = tmp_path / "queue.db"
        config = base_config(tmp_path, gateway.url)
        if damage == "no folder":
            config["queue"]["url"] = f"sqlite:///{tmp_path}/nowhere/queue.db"
        bridge.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")
        if damage == "newer":
            await bridge.start()
            await bridge.stop()
            with sqlite3.connect(queue) as database:
                database.execute("UPDATE alembic_version SET version_num = '9999'")
            database.close()
        elif damage == "log without file":
            queue.with_name("queue.db-wal").write_bytes(b"x" * 100)
        elif damage != "no folder":
            queue.write_bytes(b"" if damage == "empty" else os.urandom(8192))
        before = {path.name: path.read_bytes() for path in tmp_path.glob("queue.db*") if path.suffix != ".lock"}
        ended = await serve(bridge)
        # a folder may be mounted later; what stands in the file does not change by trying again
        assert ended.code == (75 if damage == "no folder" else 1)
        assert len(ended.output.splitlines()) == 1
        assert ended.output.startswith("mailbridge: the queue: ")
        for name, content in before.items():
            if not name.endswith("-shm"):
                assert (tmp_path / name).read_bytes() == content, name


async def serve(bridge: Bridge, *, before: Sequence[str] = ()) -> Ended:
    """Start a bridge that is to refuse to start, with *before* in front of its command."""
    return await run_program(*before, sys.executable, "-m", "mailbridge", "serve", "--config", bridge.config_file)


@pytest.mark.slow
async def test_a_damaged_queue_is_set_aside_and_no_new_one_takes_its_place(tmp_path: Path) -> None:
    """F13: said in one line, exit 1; the file whole under another name; the next start refuses, a backup is served."""
    async with running_bridge(tmp_path) as bridge:
        assert (await deliver(bridge))[0] == 250
        await bridge.messages(1)
    queue = tmp_path / "queue.db"
    backup = queue.read_bytes()
    damaged = backup[:8192] + os.urandom(16384) + backup[24576:]
    queue.write_bytes(damaged)
    ended = await serve(bridge)
    assert ended.code == 1
    (line,) = ended.output.splitlines()
    assert "damaged" in line
    assert "set aside as queue.db.damaged-1" in line
    assert (tmp_path / "queue.db.damaged-1").read_bytes() == damaged
    ended = await serve(bridge)
    assert (ended.code, queue.exists()) == (1, False)
    assert "was here and is gone" in ended.output
    queue.write_bytes(backup)
    await bridge.start()
    assert (await deliver(bridge, "served again"))[0] == 250
    await bridge.stop()


@pytest.mark.slow
async def test_a_disk_that_is_read_only_is_said_so(tmp_path: Path, small_disk: Path) -> None:
    """F11: a start says so in one line and ends with 75, and the next one on a good disk goes on."""
    changes = {"queue": {"url": f"sqlite:///{small_disk}/queue.db"}}
    async with running_bridge(tmp_path, changes) as bridge:
        assert (await deliver(bridge, "before"))[0] == 250
        await bridge.stop()
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        ended = await serve(bridge)
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        assert ended.code == 75
        (line,) = ended.output.splitlines()
        assert "cannot be written to" in line
        await bridge.start()
        assert (await deliver(bridge, "after"))[0] == 250
        await bridge.messages(2)


@pytest.mark.slow
async def test_a_folder_that_is_not_ours_to_write_to_is_said_so() -> None:
    """F13: a queue in a folder of somebody else ends a start with 75 and one line, and nothing in it is touched."""
    need_root("another user's process")
    setpriv = [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    async with Simulator() as gateway:
        with TemporaryDirectory() as name:  # the test's own folder is closed to other users
            folder = Path(name)
            folder.chmod(0o755)
            bridge = Bridge(folder, gateway)
            bridge.config_file.write_text(yaml.safe_dump(base_config(folder, gateway.url)), encoding="utf-8")
            ended = await serve(bridge, before=setpriv)
            assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    assert ended.code == 75, ended
    (line,) = ended.output.splitlines()
    assert "cannot be written to" in line


@pytest.mark.slow
async def test_out_of_file_descriptors_and_back(tmp_path: Path) -> None:
    """F16: with every descriptor taken by clients nobody crashes, and when they leave mail goes again."""
    async with running_bridge(tmp_path, {"smtp": {"max_connections": 5000}}) as bridge:
        assert bridge.process is not None
        resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        clients = [await asyncio.open_connection("127.0.0.1", bridge.port) for _ in range(80)]
        # not one is left
        await until(lambda: psutil.Process(bridge.process.pid).num_fds() >= 60)
        assert bridge.process.returncode is None
        for _, writer in clients:
            writer.close()
        resource.prlimit(bridge.process.pid, resource.RLIMIT_NOFILE, (60, 60))

        async def goes() -> bool:
            try:
                return await is_taken(bridge)
            except (OSError, smtplib.SMTPException):
                return False

        await until_seen(goes, limit_s=15)
        await bridge.messages(1)


@pytest.mark.slow
async def test_out_of_memory_and_back(tmp_path: Path) -> None:
    """F16: large mails find no memory: nobody hears a 5xx or a false 250, nobody crashes, and small mail goes on."""
    async with running_bridge(tmp_path) as bridge:
        assert bridge.process is not None
        pid = bridge.process.pid
        assert (await deliver(bridge, "before"))[0] == 250
        unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (psutil.Process(pid).memory_info().vms + 3_000_000, unlimited[1]))

        async def large(number: int) -> int | None:
            """Return the answer to a large mail, None where the connection ended instead."""
            try:
                return (await deliver(bridge, f"large {number} " + ("z" * 70 + "\r\n") * 110_000))[0]
            except (OSError, smtplib.SMTPException):
                return None

        codes = await asyncio.gather(*(large(number) for number in range(4)))
        assert None in codes or any(code != 250 for code in codes)
        assert all(code is None or code == 250 or 400 <= code < 500 for code in codes), codes
        assert bridge.process.returncode is None
        resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
        assert (await deliver(bridge, "after"))[0] == 250
        taken = await bridge.messages(2 + codes.count(250))
        assert {"before", "after"} <= {message["text"].splitlines()[0] for message in taken}


@asynccontextmanager
async def talking_to(folder: Path, stdout: int) -> AsyncIterator[tuple[Bridge, int]]:
    """Run a bridge whose stdout is *stdout*, on a known port."""
    port = free_port()
    async with Simulator() as gateway:
        bridge = Bridge(folder, gateway)
        listen = {"smtp": {"listen": [{"address": f"127.0.0.1:{port}"}]}}
        bridge.config_file.write_text(yaml.safe_dump(merged(base_config(folder, gateway.url), listen)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mailbridge", "serve", "--config", str(bridge.config_file), stdout=stdout
        )
        try:
            for _ in range(300):
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
            yield bridge, port
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(25):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.slow
async def test_a_log_nobody_reads_to_the_end_is_no_reason_to_stop(tmp_path: Path) -> None:
    """F18: the reader of stdout is gone: the service goes on."""
    reading, writing = os.pipe()
    async with talking_to(tmp_path, writing) as (bridge, port):
        os.close(writing)
        os.close(reading)
        for number in range(5):
            assert (await asyncio.to_thread(_deliver, port, f"mail {number}"))[0] == 250
        await until(lambda: len(bridge.simulator.inbox) == 5)


@pytest.mark.slow
async def test_a_log_nobody_reads_is_no_reason_to_stop(tmp_path: Path) -> None:
    """F18: stdout is a pipe that is full: every mail is answered and sent, and SIGTERM ends the bridge as always."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        async with talking_to(tmp_path, writing) as (bridge, port):
            for number in range(30):
                assert (await asyncio.to_thread(_deliver, port, f"mail {number}"))[0] == 250
            await until(lambda: len(bridge.simulator.inbox) == 30)
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.slow
async def test_a_log_on_a_full_disk_is_no_reason_to_stop(tmp_path: Path, small_disk: Path) -> None:
    """F18: the disk of the log has no room: the service goes on, and says how many lines are missing afterwards."""
    filler = small_disk / "filler"
    with (small_disk / "log").open("ab") as stdout:
        async with talking_to(tmp_path, stdout.fileno()) as (bridge, port):
            fill(filler)
            for number in range(30):
                assert (await asyncio.to_thread(_deliver, port, f"mail {number}"))[0] == 250
            await until(lambda: len(bridge.simulator.inbox) == 30)
            filler.unlink()
            assert (await asyncio.to_thread(_deliver, port, "room again"))[0] == 250
    events = [json.loads(line) for line in (small_disk / "log").read_text().splitlines() if line.endswith("}")]
    (lost,) = (event["lines"] for event in events if event["event"] == "log lines lost")
    assert lost > 50
    # the gap is named with the first lines that can be written again, and these may be the last
    assert "stopped" in {event["event"] for event in events[-2:]}

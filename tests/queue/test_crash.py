"""Killed processes and full disks: what was acknowledged is there, what was not is whole or absent."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailbridge.errors import StoreFull
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter
from tests.support.queue import NOW, claim, new_mail, new_message

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: puts mails of three messages each, eight at a time, and prints a mail's id once it was acknowledged
WRITER = """
import asyncio, sys
from mailbridge.queue.connect import open_store
from tests.support.queue import new_mail, new_message

async def main(path, run):
    store = open_store(f"sqlite:///{path}", exclusive=True)
    await store.open()

    async def work(k):
        n = 0
        while True:
            n += 1
            id_ = f"R{run}W{k}N{n}"
            await store.put(new_mail(id_, *(new_message(f"{id_}.{i}", phone=f"+7999{i:07}") for i in (1, 2, 3))))
            print(id_, flush=True)

    await asyncio.gather(*(work(k) for k in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""


def write_until_killed(path, run, lines):
    """Run the writer, kill it after *lines* acknowledgements, and return the ids it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(run)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as writer:
        seen = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        seen += writer.stdout.readlines()
    return [line.strip() for line in seen if line.endswith("\n")]


async def test_what_was_acknowledged_survives_kill_9(tmp_path):
    """Five kills: every acknowledged mail is there whole, every other one is whole or absent, and the file is sound."""
    path = tmp_path / "queue.db"
    acknowledged = []
    for run in range(5):
        acknowledged += await asyncio.to_thread(write_until_killed, path, run, 20 + 30 * run)
    store = open_store(f"sqlite:///{path}", exclusive=True)
    await store.open()
    for id_ in acknowledged:
        assert await store.get_mail(id_) is not None
    rows = await store.find(Filter(limit=1_000_000))
    by_mail = {}
    for row in rows:
        by_mail.setdefault(row.mail_id, []).append(row.id)
    assert {len(ids) for ids in by_mail.values()} == {3}
    assert set(acknowledged) <= set(by_mail)
    await store.close()


async def test_a_claim_of_a_killed_process_is_recovered_as_unknown(tmp_path):
    """The intent is on disk before the request: a new process finds it and asks, it does not resend."""
    code = f"""
import asyncio, os, signal
from mailbridge.queue.connect import open_store
from tests.support.queue import claim, new_mail

async def main():
    store = open_store("sqlite:///{tmp_path}/queue.db", exclusive=True)
    await store.open()
    await store.put(new_mail("M1"))
    await claim(store)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    store = open_store(f"sqlite:///{tmp_path}/queue.db", exclusive=True)
    await store.open()
    # a container made anew has another host name: what it left is nobody else's
    assert await store.recover(node="another", now=NOW) == 1
    assert await store.count_states() == {State.UNKNOWN: 1}
    assert len(await store.attempts_of("M1.1")) == 1
    await store.close()


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_a_full_store_until_there_is_room_again(small_disk):
    """Nothing acknowledged is lost, the rest is refused as full, and room is all it takes to go on."""
    store = open_store(f"sqlite:///{small_disk}/queue.db", exclusive=True)
    await store.open()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    calls = [store.put(new_mail(f"M{n}", new_message(f"M{n}.1"), original=b"x" * 50_000)) for n in range(60)]
    results = [(await asyncio.gather(call, return_exceptions=True))[0] for call in calls]
    kept = [result for result in results if not isinstance(result, BaseException)]
    assert {type(result) for result in results if isinstance(result, BaseException)} == {StoreFull}
    assert kept
    assert sum((await store.count_states()).values()) == len(kept)
    ballast.unlink()
    await store.put(new_mail("AFTER"))
    assert len(await claim(store, limit=1000)) == len(kept) + 1
    await store.close()


async def test_a_disk_that_turns_read_only_is_a_passing_trouble(small_disk):
    """A read-only disk refuses calls and the store works again once it can be written to."""
    from mailbridge.errors import StoreError

    store = open_store(f"sqlite:///{small_disk}/queue.db", exclusive=False)
    await store.open()
    await store.put(new_mail("M1"))
    await store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    blocked = open_store(f"sqlite:///{small_disk}/queue.db", exclusive=False)
    with pytest.raises(StoreError):
        await blocked.open()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    store = open_store(f"sqlite:///{small_disk}/queue.db", exclusive=False)
    await store.open()
    assert await store.get_mail("M1") is not None
    await store.close()

"""The spool of ``mailbridge-sendmail``: what is kept is whole, its owner's alone, and goes out once."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailbridge import spool
from mailbridge.cli.handover import Settings, hand_over, keep, read_settings, send_kept
from mailbridge.cli.sendmail import identified, parse_call
from mailbridge.spool import Kept
from tests.support.bridge import running_bridge
from tests.support.programs import need_root, run_program
from tests.support.smarthost import running_smarthost

MAIL = Kept(
    sender="cron@db1", recipients=("79991234567@sms.local",), content=b"Subject: x\r\n\r\ny\r\n", at=1_764_000_000.5
)


# each example waits for the disk
@hypothesis_settings(deadline=None, max_examples=50)
@given(
    sender=st.text(),
    recipients=st.lists(st.text(), min_size=1).map(tuple),
    content=st.binary(),
    at=st.floats(0, 4e9),
)
def test_what_is_kept_comes_back_as_it_was(tmp_path_factory, sender, recipients, content, at):
    """Any octets, any addresses; the time to the microsecond or better."""
    kept = Kept(sender=sender, recipients=recipients, content=content, at=at)
    folder = tmp_path_factory.mktemp("spool")
    with spool.taken(spool.put(folder, kept)) as read:
        assert read == kept


def test_mails_wait_in_the_order_they_came(tmp_path: Path):
    """Oldest first, whatever order the file system has; half-written ones and those set aside are not seen."""
    paths = [
        spool.put(tmp_path, Kept(sender="", recipients=("a@b",), content=b"", at=at)) for at in (3e9, 5.0, 1e9, 999.5)
    ]
    (paths[0].parent / ".half.mail").write_bytes(b"{")
    spool.set_aside(paths[0])
    assert spool.waiting(tmp_path) == [paths[1], paths[3], paths[2]]
    assert spool.waiting(tmp_path, uid=os.geteuid()) == spool.waiting(tmp_path)
    assert spool.waiting(tmp_path, uid=4_000_000) == []
    assert spool.waiting(tmp_path / "nothing") == []


def test_others_can_neither_read_nor_list_what_is_kept(tmp_path: Path):
    """The folder of a user and the files in it have no rights for others, and the spool's group."""
    tmp_path.chmod(0o3777)
    path = spool.put(tmp_path, MAIL)
    for found in (path, path.parent):
        assert stat.S_IMODE(found.stat().st_mode) & 0o007 == 0
        assert found.stat().st_gid == tmp_path.stat().st_gid
    assert path.parent.stat().st_mode & stat.S_ISGID


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path):
    """Who makes another user's folder before him, or puts a link there, does not get his mail."""
    (tmp_path / str(os.geteuid())).symlink_to("/tmp")
    with pytest.raises(spool.SpoolError):
        spool.put(tmp_path, MAIL)


@pytest.mark.parametrize("trap", ["symlink", "hard link", "pipe", "nonsense"])
def test_what_is_no_mail_is_left_alone(tmp_path: Path, trap: str):
    """A link to somebody's file, a pipe that would hang the reader, a file that is no mail: none is read or removed."""
    path = spool.put(tmp_path, MAIL)
    secret = tmp_path / "secret"
    secret.write_bytes(path.read_bytes())
    path.unlink()
    match trap:
        case "symlink":
            path.symlink_to(secret)
        case "hard link":
            path.hardlink_to(secret)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.write_bytes(b'{"sender": 1}\nx')
    with spool.taken(path) as kept:
        assert kept is None
    assert os.path.lexists(path)


def test_one_mail_is_held_by_one_sender(tmp_path: Path):
    """Two that empty the spool at once do not send a mail twice."""
    path = spool.put(tmp_path, MAIL)
    with spool.taken(path) as first, spool.taken(path) as second:
        assert (first, second) == (MAIL, None)
    with spool.taken(path) as again:
        assert again == MAIL
        spool.finish(path)
    with spool.taken(path) as gone:
        assert gone is None


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b"Subject: x\r\n\r\ny\r\n", rb"Message-ID: <\S+@\S+>\r\nDate: .+\r\nSubject: x\r\n"),
        (b"Message-Id: <1@x>\r\nDate: Tue\r\n\r\ny\r\n", rb"Message-Id: <1@x>\r\nDate: Tue\r\n\r\ny"),
        (b"disk is full\r\n", rb"Message-ID: <\S+>\r\nDate: .+\r\n\r\ndisk is full\r\n"),
        (b"\r\ny\r\n", rb"Message-ID: <\S+>\r\nDate: .+\r\n\r\n"),
    ],
)
def test_every_mail_gets_what_tells_it_from_others(content: bytes, begins: bytes):
    """A Message-ID, so that the same one tried twice is known, and a Date; what is there stays, a text stays a text."""
    assert re.match(begins, identified(content)), identified(content)


@pytest.mark.parametrize(
    ("flag", "seconds"), [("-q", None), ("-q5m", 300), ("-q1h30m", 5400), ("-q90", 5400), ("-q10s", 10), ("-qf", None)]
)
def test_q_takes_sendmails_times(flag: str, seconds: float | None):
    """Minutes where there is no unit."""
    call = parse_call([flag])
    assert (call.run_queue, call.every_s) == (True, seconds)


def test_a_time_that_is_none_is_told():
    """Not taken for minutes."""
    with pytest.raises(ValueError, match="-q5m"):
        parse_call(["-q5x"])


def settings(port: int, folder: Path) -> Settings:
    """Return settings for a bridge on *port*."""
    return Settings(host="127.0.0.1", port=port, domain="sms.local", spool=folder)


@pytest.mark.parametrize(
    ("replies", "later", "refused", "stays"),
    [
        ({"rcpt_reply": "450 4.7.1 later"}, True, False, ".mail"),
        ({"data_reply": "451 4.3.0 later"}, True, False, ".mail"),
        ({"rcpt_reply": "550 5.1.1 nobody"}, False, True, ".refused"),
        ({"data_reply": "554 5.6.0 never"}, False, True, ".refused"),
    ],
)
async def test_an_answer_decides_what_becomes_of_a_kept_mail(tmp_path, replies, later, refused, stays):
    """4xx leaves it; 5xx keeps it for a person; only 250 removes it."""
    path = spool.put(tmp_path, MAIL)
    async with running_smarthost(**replies) as bridge:
        handed = await asyncio.to_thread(hand_over, settings(bridge.port, tmp_path), MAIL)
        assert (bool(handed.later), bool(handed.refused), handed.reached) == (later, refused, True)
        assert await asyncio.to_thread(send_kept, settings(bridge.port, tmp_path), path)
        assert [file.suffix for file in path.parent.iterdir()] == [stays]
        bridge.rcpt_reply = bridge.data_reply = None
        await asyncio.to_thread(send_kept, settings(bridge.port, tmp_path), path)
        assert [file.suffix for file in path.parent.iterdir()] == ([] if later else [stays])
        assert len(bridge.mails) == (1 if later else 0)


def test_a_bridge_that_is_away_ends_the_round(tmp_path: Path):
    """Nothing is removed, and who tries one mail after the other hears that it is of no use."""
    path = spool.put(tmp_path, MAIL)
    assert not send_kept(settings(1, tmp_path), path)
    assert spool.waiting(tmp_path) == [path]


async def test_recipients_are_kept_apart(tmp_path: Path):
    """One taken, one put off, one refused: the mail goes again to the second alone, and stays for a person."""
    mail = Kept(sender="", recipients=("1@x.org", "2@x.org", "3@x.org"), content=MAIL.content, at=5.0)
    path = spool.put(tmp_path, mail)
    replies = {"2@x.org": "450 4.7.1 later", "3@x.org": "550 5.1.1 no"}
    async with running_smarthost(rcpt_replies=replies) as bridge:
        assert await asyncio.to_thread(send_kept, settings(bridge.port, tmp_path), path)
        assert [taken.rcpt_tos for taken in bridge.mails] == [["1@x.org"]]
    [again] = spool.waiting(tmp_path)
    with spool.taken(again) as kept:
        assert kept is not None
        assert kept.recipients == ("2@x.org",)
    assert path.with_suffix(".refused").exists()


def test_an_address_that_cannot_be_written_is_refused(tmp_path: Path):
    """No traceback, and not tried for ever."""
    strange = Kept(sender="", recipients=("дежурный@sms.local",), content=b"x", at=5.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as line:
                line.write(b"220 x\r\n")
                line.flush()
                for _ in line:
                    line.write(b"250 x\r\n")
                    line.flush()

        threading.Thread(target=greet, daemon=True).start()
        handed = hand_over(settings(listener.getsockname()[1], tmp_path), strange)
    assert set(handed.refused) == set(strange.recipients)


def test_the_settings_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Bridge, domain and spool; a bare ``off``, which YAML reads as false, is off; the environment wins."""
    file = tmp_path / "sendmail.yaml"
    monkeypatch.setattr("mailbridge.cli.handover.SETTINGS_FILE", file)
    for name in ("SMTP", "SPOOL", "DOMAIN"):
        monkeypatch.delenv(f"MAILBRIDGE_{name}", raising=False)
    file.write_text("smtp: sms.example.org:25\nspool: off\n")
    assert read_settings() == Settings(host="sms.example.org", port=25, domain="sms.local", spool=None)
    file.write_text(f"smtp: '[::1]:25'\ndomain: pager.local\nspool: {tmp_path}\n")
    assert read_settings() == Settings(host="::1", port=25, domain="pager.local", spool=tmp_path)
    monkeypatch.setenv("MAILBRIDGE_SPOOL", "off")
    assert read_settings().spool is None
    monkeypatch.delenv("MAILBRIDGE_SPOOL")


def test_a_spool_that_nobody_made_is_not_used(tmp_path, monkeypatch):
    """Then nobody empties it either: the caller hears 75, as of a bridge that is down. One that was named must be there."""
    made = tmp_path / "mailbridge"
    monkeypatch.setattr("mailbridge.cli.handover.SETTINGS_FILE", tmp_path / "none.yaml")
    monkeypatch.setattr("mailbridge.cli.handover.SPOOL", made)
    monkeypatch.delenv("MAILBRIDGE_SPOOL", raising=False)
    assert read_settings().spool is None
    assert keep(read_settings(), MAIL, "the bridge is away") == 75
    monkeypatch.setenv("MAILBRIDGE_SPOOL", str(made))
    assert keep(read_settings(), MAIL, "the bridge is away") == 75
    monkeypatch.delenv("MAILBRIDGE_SPOOL")
    made.mkdir()
    assert keep(read_settings(), MAIL, "the bridge is away") == 0
    assert len(spool.waiting(made)) == 1


@pytest.mark.slow
async def test_mails_sent_while_the_bridge_is_down_arrive_once_it_is_there(tmp_path: Path):
    """Exit code 0 at once; ``-bp`` shows them, ``-q`` says 75 while it is down; the next mail or ``-q`` sends them, once."""
    program = (sys.executable, "-m", "mailbridge", "sendmail")
    away = {"MAILBRIDGE_SMTP": "127.0.0.1:1", "MAILBRIDGE_SPOOL": str(tmp_path / "spool"), "HOME": "/nonexistent"}
    (tmp_path / "spool").mkdir()
    for text in ("one", "two"):
        ended = await run_program(*program, "79991234567", text=f"Subject: {text}\n\nx\n".encode(), env=away)
        assert (ended.code, ended.output) == (0, "")
    shown = await run_program(*program, "-bp", env=away)
    assert (shown.code, shown.output.count("-> 79991234567@sms.local")) == (0, 2)
    tried = await run_program(*program, "-q", env=away)
    assert (tried.code, "2 still waiting" in tried.output) == (75, True)
    async with running_bridge(tmp_path) as bridge:
        there = away | {"MAILBRIDGE_SMTP": f"127.0.0.1:{bridge.port}"}
        ended = await run_program(*program, "-t", text=b"To: 79991234567@sms.local\nSubject: three\n\nx\n", env=there)
        assert ended.code == 0, ended
        got = await bridge.messages(3)
        assert [one["text"] for one in got] == ["three: x", "one: x", "two: x"]
        again = await run_program(*program, "-q", env=there)
        assert (again.code, again.output) == (0, "")
        assert len(bridge.simulator.inbox) == 3


#: what each user does with the spool, by a Python that every user may run; a copy of the module is beside it
_GIVE = "spool.put(where, spool.Kept(sender='', recipients=('a@b',), content=b'private', at=5.0))"
_LOOK = "print([path.name for path in spool.waiting(where)])"
_TAKE = """
for path in spool.waiting(where):
    with spool.taken(path) as kept:
        print(kept.content)
        spool.finish(path)
"""


@pytest.mark.slow
async def test_a_spool_of_many_users_is_emptied_by_its_owner_and_read_by_nobody_else():
    """As the units have it: any user keeps, the spool's owner sends, a third one sees nothing."""
    need_root("a process of another user")
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("no Python that every user may run")
    # a folder that others can enter, unlike pytest's own
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-spool-"))
    try:
        folder.chmod(0o755)
        shutil.copy(spool.__file__, folder / "spool.py")
        shared = folder / "spool.d"
        shared.mkdir()
        owner, giver, stranger = 61001, 61002, 61003
        os.chown(shared, owner, owner)
        shared.chmod(0o3777)
        start = f"import sys; sys.path.insert(0, {str(folder)!r}); import spool, pathlib; where = pathlib.Path({str(shared)!r})\n"

        async def does(uid: int, what: str) -> str:
            process = await asyncio.create_subprocess_exec(
                python, "-B", "-c", start + what, user=uid, group=uid, extra_groups=[], cwd="/",
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            return (await process.communicate())[0].decode().strip()

        assert await does(giver, _GIVE) == ""
        [path] = spool.waiting(shared)
        assert (path.stat().st_uid, path.stat().st_gid) == (giver, owner)
        assert await does(stranger, _LOOK) == "[]"
        assert "PermissionError" in await does(stranger, f"open({str(path)!r})")
        assert "PermissionError" in await does(stranger, f"where.joinpath('{giver}').rename(where / 'mine')")
        assert await does(giver, _LOOK) == str([path.name])
        assert await does(owner, _TAKE) == "b'private'"
        assert spool.waiting(shared) == []
    finally:
        shutil.rmtree(folder)

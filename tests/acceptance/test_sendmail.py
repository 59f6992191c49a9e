"""``mailbridge-sendmail`` as cron, PHP and mail(1) call it, against a running bridge."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbridge.cli.sendmail import parse_call, read_mail
from tests.support.bridge import Bridge, running_bridge
from tests.support.plain_smsc import PlainSmsc, plain_smsc
from tests.support.programs import Ended, run_program, until

PROGRAM = (str(Path(sys.executable).with_name("mailbridge-sendmail")),)
VERB = (sys.executable, "-m", "mailbridge", "sendmail")
TO = "79991234567@sms.local"


async def sendmail(bridge: Bridge, *flags: str, text: str, program: tuple[str, ...] = VERB) -> Ended:
    """Run it with *text* as its input."""
    return await run_program(
        *program,
        *flags,
        text=text.encode(),
        env={"MAILBRIDGE_SMTP": f"127.0.0.1:{bridge.port}", "MAILBRIDGE_SPOOL": "off", "HOME": "/nonexistent"},
    )


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[tuple[Bridge, PlainSmsc]]:
    """A bridge and its gateway."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        yield bridge, gateway


@pytest.mark.slow
async def test_what_cron_and_others_call_is_sent(door):
    """The classic flags, recipients from the header, Bcc, dots and bare numbers."""
    bridge, gateway = door
    calls = [
        (
            ("-FCronDaemon", "-i", "-odi", "-oem", "-B8BITMIME", TO),
            "Subject: cron\n\nline\n.\nmore\n",
            "cron: line\n.\nmore",
        ),
        (("-t", "-oi"), f"To: A <{TO}>\nSubject: to\n\ntext\n", "to: text"),
        (("-f", "nagios@example.org", "79991234567"), "Subject: bare\n\nnumber\n", "bare: number"),
        (("-fnagios@example.org", "--", TO), "Subject: Диск\n\nполон\n", "Диск: полон"),
        ((TO,), "Subject: dot\n\nbefore\n.\nafter\n", "dot: before"),
    ]
    for number, (flags, text, _) in enumerate(calls):
        ended = await sendmail(bridge, *flags, text=text, program=PROGRAM if number == 0 else VERB)
        assert (ended.code, ended.output) == (0, ""), ended
    await until(lambda: len(gateway.forms()) == len(calls))
    assert [form["mes"] for form in gateway.forms()] == [expected for *_, expected in calls]


@pytest.mark.slow
async def test_blind_copies_are_sent_and_not_shown(door):
    """Each recipient of To, Cc and Bcc gets one, and the mail kept has no Bcc."""
    bridge, gateway = door
    text = "To: 79991234561@sms.local\nCc: 79991234562@sms.local\nBcc: 79991234563@sms.local,\n 79991234564@sms.local\nSubject: x\n\ny\n"
    ended = await sendmail(bridge, "-t", text=text)
    await until(lambda: bridge.events_called("sent"))

    assert ended.code == 0, ended
    assert gateway.forms()[0]["phones"] == ",".join(f"+7999123456{n}" for n in (1, 2, 3, 4))


@pytest.mark.slow
async def test_exit_codes_are_those_of_all_verbs(door):
    """0 done, 1 refused, 2 wrong usage, 75 when it is worth trying again; never a traceback."""
    bridge, _ = door
    mail = "Subject: x\n\ny\n"
    refused = await sendmail(bridge, "bob@sms.local", text=mail)
    nobody = await sendmail(bridge, "-t", text=mail)
    unknown_mode = await sendmail(bridge, "-bi", text="")
    environment = {"MAILBRIDGE_SMTP": "127.0.0.1:1", "MAILBRIDGE_SPOOL": "off"}
    away = await run_program(*VERB, TO, text=mail.encode(), env=environment)
    nonsense = await run_program(*VERB, TO, text=mail.encode(), env={"MAILBRIDGE_SMTP": "nonsense"})

    assert [ended.code for ended in (refused, nobody, unknown_mode, away, nonsense)] == [1, 2, 2, 75, 2]
    assert "550 5.1.1" in refused.output
    assert all(len(ended.output.splitlines()) == 1 for ended in (refused, nobody, unknown_mode, away, nonsense))


@pytest.mark.slow
async def test_a_session_on_stdin_may_have_the_line_ends_of_a_pipe(door):
    """``-bs`` passes the session on; LF becomes CRLF, also where a CRLF is cut in two."""
    bridge, gateway = door
    lines = ["EHLO x", "MAIL FROM:<a@b>", f"RCPT TO:<{TO}>", "DATA", "Subject: bs", "", "hi", ".", "QUIT", ""]
    for end in ("\n", "\r\n"):
        ended = await sendmail(bridge, "-bs", text=end.join(lines).replace("hi", f"hi {len(end)}"))
        assert ended.code == 0
        assert "250 2.0.0 Ok: queued as" in ended.output
        assert ended.output.splitlines()[-1] == "221 2.0.0 Bye"
    await until(lambda: len(gateway.forms()) == 2)


@pytest.mark.parametrize(
    ("arguments", "recipients", "sender"),
    [
        (["-O", "DeliveryMode=b", "-N", "never", "-h", "3", "a@b"], ("a@b",), None),
        (["-ODeliveryMode=b", "-Nnever", "-h3", "a@b"], ("a@b",), None),
        (["-F", "Full Name", "-f", "x@y", "a@b"], ("a@b",), "x@y"),
        (["-f", "<>", "a@b"], ("a@b",), "<>"),
        (["-om", "-v", "-G", "-U", "-n", "a@b"], ("a@b",), None),
        (["--config", "/etc/mailbridge/config.yaml", "a@b"], ("a@b",), None),
        (["--config=/etc/mailbridge/config.yaml", "-i", "a@b"], ("a@b",), None),
        (["-o7", "-oQ/var/spool", "-ox", "a@b", "c@d"], ("a@b", "c@d"), None),
    ],
)
def test_flags_with_a_value_do_not_swallow_recipients(arguments, recipients, sender):
    """Glued or following, known flags take their value and nothing more."""
    call = parse_call(arguments)
    assert (call.recipients, call.sender) == (recipients, sender)


@pytest.mark.parametrize("ignores", [True, False])
def test_a_single_dot_ends_the_mail_unless_dots_are_ignored(ignores):
    """``-i`` and ``-oi`` take the dot as text."""
    call = parse_call([*(["-oi"] if ignores else []), "a@b"])
    content, _ = read_mail(call, b"S: x\n\none\n.\ntwo\n")
    assert content == (b"S: x\r\n\r\none\r\n.\r\ntwo\r\n" if ignores else b"S: x\r\n\r\none\r\n")

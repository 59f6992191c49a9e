"""The whole program against a gateway of a few lines that was written from the description alone."""

from __future__ import annotations

import asyncio
import smtplib
import time
from email.message import EmailMessage

import pytest

from tests.support.bridge import Bridge, running_bridge
from tests.support.plain_smsc import plain_smsc
from tests.support.programs import until

pytestmark = pytest.mark.slow


def send_mail(bridge: Bridge, *to: str, text: str = "hello", **headers: str) -> str:
    """Send a mail and return the reply to DATA."""
    mail = EmailMessage()
    mail["From"] = "nagios@example.org"
    mail["To"] = ", ".join(to)
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
        client.ehlo("client.example.org")
        client.mail("nagios@example.org")
        for recipient in to:
            code, words = client.rcpt(recipient)
            assert code == 250, words
        code, words = client.data(mail.as_bytes())
        return f"{code} {words.decode()}"


async def test_a_repeated_mail_is_answered_at_once_though_clients_wait_for_verdicts(tmp_path):
    """A duplicate gets no verdict, so nobody waits for one; a mail with some duplicates waits for the others alone."""
    changes = {"smtp": {"reply": "verdict", "verdict_wait": "20s"}}
    async with plain_smsc() as gateway, running_bridge(tmp_path, changes, url=gateway.url) as bridge:
        one, two = "79991234567@sms.local", "79991234568@sms.local"
        first = await asyncio.to_thread(send_mail, bridge, one, Message_ID="<1@x>")
        before = time.monotonic()
        again = await asyncio.to_thread(send_mail, bridge, one, Message_ID="<1@x>")
        more = await asyncio.to_thread(send_mail, bridge, one, two, Message_ID="<1@x>")

        mail_id = first.split("queued as ")[1].partition(";")[0]
        assert again == f"250 2.0.0 Ok: duplicate of {mail_id}"
        assert "; sent 1 of 2, parts 1" in more
        assert time.monotonic() - before < 10
        assert len(gateway.forms()) == 2


async def test_a_gateway_that_reads_no_lists_can_still_be_asked_about_one_message(tmp_path):
    """One message is asked about by its phone and id as they are, without the comma of a list."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        await asyncio.to_thread(send_mail, bridge, "79991234567@sms.local")
        await until(lambda: bridge.events_called("delivered"), saying=bridge.what_it_said)

        (sent,) = gateway.forms()
        asked = gateway.forms("status")[0]
        assert (asked["phone"], asked["id"]) == ("+79991234567", sent["id"])


async def test_a_gateway_that_reads_no_lists_is_asked_one_by_one(tmp_path):
    """An answer for one message to a question about several is nobody's; each is asked about alone."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        gateway.answers["status"] = lambda form: {"status": -3 if "," in form["phone"] else 1}
        to = [f"7999123456{n}@sms.local" for n in range(3)]
        await asyncio.to_thread(send_mail, bridge, *to)
        await until(lambda: len(bridge.events_called("delivered")) == 3, saying=bridge.what_it_said)

        assert [form["phone"] for form in gateway.forms("status")[1:4]] == [f"+7999123456{n}" for n in range(3)]


REQUESTS = [
    ("", {"X-SMS-Sender": "BOB"}, {"sender": "BOB"}),
    ("+sender=NAG+translit=2+flash", {"X-SMS-Sender": "BOB"}, {"sender": "BOB", "translit": "2", "flash": "1"}),
    ("+sender=NAG+valid=2h+max-parts=1", {}, {"sender": "NAG", "valid": "2"}),
    ("", {"X-SMS-Translit": "1"}, {"translit": "1", "sender": "ALERT"}),
    ("", {"X-SMS-Text": "Другой текст"}, {"mes": "Другой текст"}),
    ("", {"X-SMS-Text": "__CALL__ me"}, {"mes": " __CALL__ me"}),
    ("", {"X-SMS-Time": "2096-01-31T09:00:00+03:00"}, {"time": "03978828000"}),
    ("", {"X-SMS-Time": "31.01.96 09:00"}, {"time": "31.01.96 09:00"}),
    ("", {"X-SMS-Valid": "01:30"}, {"valid": "01:30"}),
    ("", {"X-SMS-Flash": "yes"}, {"flash": "1"}),
    ("", {"X-SMS-Channel": "sms"}, {}),
    ("", {"X-SMS-Id": "4242"}, {"id": "4242"}),
]
EVERY = {"login": "acme", "psw": "s3cr&t=", "charset": "utf-8", "fmt": "3", "cost": "3", "op": "1", "err": "1"}


async def test_every_header_and_address_option_reaches_the_gateway(tmp_path):
    """Headers over address options over defaults; a POST form, its parameters and nothing in the address."""
    changes = {
        "smtp": {"reply": "verdict"},
        "message": {"sender": "ALERT"},
        "gateways": {"main": {"login": "acme", "password": "s3cr&t=", "poll": "0s"}},
    }
    async with plain_smsc() as gateway, running_bridge(tmp_path, changes, url=gateway.url) as bridge:
        for number, (options, headers, expected) in enumerate(REQUESTS):
            to = f"7999123{number:04}{options}@sms.local"
            fields = {name.replace("-", "_"): value for name, value in headers.items()}
            answer = await asyncio.to_thread(send_mail, bridge, to, **fields)
            form = gateway.forms()[-1]
            assert "; sent, gateway id " in answer
            assert form["phones"] == f"+7999123{number:04}"
            assert form | EVERY | expected == form, (headers, form)
        assert {(r.method, str(r.rel_url), r.content_type) for r in gateway.requests} == {
            ("POST", "/sys/send.php", "application/x-www-form-urlencoded")
        }
        assert gateway.forms("status") == []
        said = bridge.what_it_said()
        assert "s3cr&t" not in said
        assert "Другой" not in said
        assert "9991230001" not in said


ANSWERS = [
    ('{"cnt": "1", "cost": 1.4, "id": %s, "new": [], "balance": 3}', "250 2.0.0 Ok: queued as ", "sent"),
    ("OK - 1 SMS, ID - %s", "250 2.0.0 Ok: queued as ", "sent"),
    ('{"error_code": "7", "error": "invalid number", "id": "%s"}', "550 5.1.3 SMSC error 7: invalid number", "failed"),
    ("ERROR = 8 (can't to deliver), ID - %s", "550 5.1.1 SMSC error 8: can't to deliver", "failed"),
    ('{"error": "strange", "error_code": 77}%.0s', "250 2.0.0 Ok: queued as ", "queued"),
    ("%.0s", "250 2.0.0 Ok: queued as ", "unknown"),
    ("<html>%s</html>", "250 2.0.0 Ok: queued as ", "unknown"),
    ('{"id": %s, "cnt": 1, "pad": "' + "x" * 70_000 + '"}', "250 2.0.0 Ok: queued as ", "unknown"),
]


async def test_every_kind_of_answer_gives_its_reply_and_state(tmp_path):
    """Numbers or strings, JSON or text, whole, cut off or too long: what is not clear is unknown, never sent again."""
    changes = {"smtp": {"reply": "verdict"}, "queue": {"retry_min": "1h", "retry_max": "1h"}}
    async with plain_smsc() as gateway, running_bridge(tmp_path, changes, url=gateway.url) as bridge:
        gateway.answers["status"] = lambda _form: "<html>nothing</html>"
        for number, (answer, reply, _) in enumerate(ANSWERS):
            gateway.answers["send"] = lambda form, answer=answer: answer % form["id"]
            got = await asyncio.to_thread(send_mail, bridge, f"7999124{number:04}@sms.local")
            assert got.startswith(reply), answer
        rows = (await bridge.data("queue", "list"))[::-1]

        assert [row["state"] for row in rows] == [state for *_, state in ANSWERS]
        assert len(gateway.forms()) == len(ANSWERS)
        assert (rows[0]["price"], rows[0]["currency"]) == ("1.40", "RUR")


async def test_a_mail_as_bytes_with_the_line_ends_of_unix_is_taken(tmp_path):
    """``smtplib.sendmail(…, mail.as_bytes())`` sends bare LF."""
    async with plain_smsc() as gateway, running_bridge(tmp_path, url=gateway.url) as bridge:
        mail = EmailMessage()
        mail["Subject"] = "Авария"
        mail.set_content("Сервер упал\n.\nпричина неизвестна")
        with smtplib.SMTP("127.0.0.1", bridge.port, timeout=30) as client:
            await asyncio.to_thread(client.sendmail, "a@b", ["89991234567@sms.local"], mail.as_bytes())
        (form,) = await until(gateway.forms)

        assert form["mes"] == "Авария: Сервер упал\n.\nпричина неизвестна"

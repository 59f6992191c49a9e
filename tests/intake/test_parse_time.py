"""One hostile mail, as large as any that is taken, holds nobody else up for half a second."""

from __future__ import annotations

import base64
import gc
import time
from datetime import UTC, datetime

import pytest

from mailbridge.config.model import Config
from mailbridge.front import build_doorman, build_reader
from mailbridge.model.mail import Client, ReceivedMail
from mailbridge.smtp.content import ContentReader

CONFIG = Config.model_validate({"gateways": {"main": {"login": "demo", "password": "demo"}}})
SIZE_BYTES = CONFIG.smtp.max_message_size
HEAD = b"From: a@example.org\r\nSubject: x\r\n"
CHUNK_BYTES = 65536


def full(unit: bytes, size_bytes: int = SIZE_BYTES - 1000) -> bytes:
    """Repeat *unit* up to so many octets."""
    return (unit * (size_bytes // len(unit) + 1))[:size_bytes]


def single(fields: bytes, unit: bytes) -> bytes:
    """Return a mail of one part."""
    return HEAD + fields + b"\r\n" + full(unit)


def parts(count: int, fields: bytes, unit: bytes) -> bytes:
    """Return a mail of many parts, each with its share of the size."""
    each = b"--b\r\n" + fields + b"\r\n" + full(unit, SIZE_BYTES // count - 100) + b"\r\n"
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + each * count + b"--b--\r\n"


HTML, BASE64, QP = b"Content-Type: text/html\r\n", b"Content-Transfer-Encoding: base64\r\n", b"quoted-printable\r\n"
BOMBS = {
    "lines": single(b"", b"word " * 14 + b"\r\n"),
    "blank lines": single(b"", b"\r\n"),
    "dots": single(b"", b"..\r\n"),
    "no line end": single(b"", b"a"),
    "html tags": single(HTML, b"<div>"),
    "html comments": single(HTML, b"<!--"),
    "html entities": single(HTML, b"&#x"),
    "html attributes": single(HTML, b"<a b='c' "),
    "base64 of html": single(HTML + BASE64, base64.b64encode(b"<p>aa</p>")),
    "torn base64": single(BASE64, b"a=\r\n"),
    "quoted-printable": single(b"Content-Transfer-Encoding: " + QP, b"=41"),
    "utf-7": single(b"Content-Type: text/plain; charset=utf-7\r\n", b"+AAA"),
    "a charset that is not": single(b"Content-Type: text/plain; charset=gb18030\r\n", bytes(range(128, 256))),
    "parts of base64": parts(190, BASE64, b"YWFhYWFh\r\n"),
    "parts of html": parts(190, HTML, b"<p>"),
    "countless parts": parts(300_000, b"", b"x"),
    "nested parts": HEAD
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(150_000)),
    "header fields": HEAD + full(b"X-A: b\r\n") + b"\r\n",
    "folded header": HEAD + b"X: a\r\n" + full(b" b\r\n") + b"\r\n",
    "encoded words": HEAD + b"To: " + full(b"=?utf-8?q?a?= ") + b"\r\n\r\n",
    "ruled lines": single(b"", b"-" * 70 + b"\r\n"),
    "quoted lines": single(b"", b"> " * 35 + b"\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_mail_as_large_as_any_is_read_in_less_than_half_a_second(name: str) -> None:
    """From its last octet to what is to be stored, and each of its chunks before, the loop serves nobody else."""
    doorman = build_doorman(CONFIG)
    reader = build_reader(CONFIG, doorman)
    client = Client(address="127.0.0.1")
    recipient = doorman.recipient("79991234567@sms.local", client)
    octets, content = BOMBS[name] + b"\r\n.\r\n", ContentReader(SIZE_BYTES)
    assert len(octets) <= SIZE_BYTES + 1000
    gc.collect()
    spent_s = []
    for start in range(0, len(octets), CHUNK_BYTES):
        began_s = time.process_time()
        content.feed(octets[start : start + CHUNK_BYTES])
        spent_s.append(time.process_time() - began_s)
    began_s = time.process_time()
    content.settle_line_ends()
    content.count_received()
    mail = ReceivedMail(
        id="K7Q2M9ZC4T", sender="a@example.org", recipients=(recipient,), content=content.content(), client=client,
        received_at=datetime(2026, 3, 2, tzinfo=UTC),
    )  # fmt: skip
    new, _ = reader.read(mail)
    spent_s.append(time.process_time() - began_s)
    assert new.messages[0].message.text
    assert max(spent_s) < 0.5, f"{max(spent_s):.2f} s"

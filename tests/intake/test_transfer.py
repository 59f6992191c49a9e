"""Transfer encodings, as declared and as they are."""

from __future__ import annotations

import base64
import time

import pytest

from mailbridge.intake.transfer import base64_bytes, decode_transfer

RUSSIAN = "Сервер недоступен, проверьте питание".encode()


@pytest.mark.parametrize(
    ("encoding", "raw", "text"),
    [
        ("base64", base64.encodebytes(RUSSIAN), RUSSIAN),
        ("base 64", base64.encodebytes(RUSSIAN), RUSSIAN),
        ("base64", base64.b64encode(b"one!") + b"\r\n" + base64.b64encode(b" two"), b"one! two"),
        ("base64", b"Server down", b"Server down"),
        ("base64", b"ALARM!", b"ALARM!"),
        ("base64", base64.encodebytes(RUSSIAN) + b"\r\nThis mail was scanned by AV\r\n", RUSSIAN),
        ("base64", base64.b64encode("Сбой!".encode()) + b"\nThis mail was scanned by AV\n", "Сбой!".encode()),
        ("base64", b"ALARMS12\nDoor 3 was opened at 10\n", b"ALARMS12\nDoor 3 was opened at 10\n"),
        ("base64", b"ALARM\nDoor 3 was opened at 10\n", b"ALARM\nDoor 3 was opened at 10\n"),
        ("base64", base64.b64encode("Сбой в зоне 3".encode())[:18], "Сбой в ".encode() + b"\xd0"),
        ("base64", RUSSIAN, RUSSIAN),
        ("base64", base64.b64encode("Сбой".encode("koi8-r")), "Сбой".encode("koi8-r")),
        ("7bit", base64.encodebytes(RUSSIAN * 2), RUSSIAN * 2),
        ("7bit", b"d41d8cd98f00b204e9800998ecf8427e", b"d41d8cd98f00b204e9800998ecf8427e"),
        ("7bit", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("quoted-printable", b"CPU=95%, A=B, url?a=1", b"CPU=95%, A=B, url?a=1"),
        ("quoted-printable", b"abc=  \r\ndef", b"abcdef"),
        ("quoted-printable", b"=D0=\r\n=A1=D0=B=\r\n1==\r\nD0=BE", "Сбо".encode()),
        ("", b"=D0=A1=D0=B1=D0=BE=D0=B9 db01", "Сбой db01".encode()),
        ("", b"A=C3 B=20 load=D0", b"A=C3 B=20 load=D0"),
        ("x-uuencode", b"begin 644 t\n+4V5R=F5R(&1O=VX \n`\nend\n", b"Server down"),
        ("x-uuencode", b"no such thing", b"no such thing"),
        ("7bit", b"Log:\n\nbegin 644 a.txt\n#0V%T\n`\nend\nbye\n", b"Log:\n\n\nbye\n"),
        ("7bit", b"See:\r\n=ybegin line=128 size=3 name=a.bin\r\nabc\r\n=yend size=3\r\n", b"See:\r\n\n"),
        ("7bit", b"tasks\nbegin 5 minutes ago\nend\n", b"tasks\nbegin 5 minutes ago\nend\n"),
    ],
)
def test_read_as_it_is(encoding, raw, text):
    """What is declared counts where the bytes agree with it, else what the bytes show."""
    assert decode_transfer(raw, encoding, []) == text


def test_what_is_not_as_declared_is_noted():
    """A wrong declaration and a file left out leave a note."""
    notes: list[str] = []
    decode_transfer(b"Server down", "base64", notes)
    decode_transfer(b"x\nbegin 644 a.txt\n#0V%T\n`\nend\n", "", notes)
    assert notes == ["encoding: declared base64, read as it stands", "file in the text left out: a.txt"]


@pytest.mark.parametrize("encoding", ["", "base64", "quoted-printable", "x-uuencode"])
@pytest.mark.parametrize(
    "piece",
    [b"=", b"= ", b"==\n", b"=D0", b"=\n", b"A", b"AAAA\n", b"\nbegin 644 x\n", b"=ybegin  name=", b" ", b"\n", b"M\n"],
)
def test_a_megabyte_of_anything_is_quick(encoding, piece):
    """No pattern passes over its bytes more than a bounded number of times."""
    raw = (piece * 1_000_000)[:1_000_000]
    started = time.process_time()
    decode_transfer(raw, encoding, [])
    assert time.process_time() - started < 1


def test_padding_in_the_middle_ends_nothing():
    """Lines encoded one by one are all read."""
    assert base64_bytes(b"YQ==\r\nYg==\r\nYw==\r\n") == b"abc"

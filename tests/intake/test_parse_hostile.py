"""Mails made to cost time or memory: the guard answers, the subject survives."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.parse import MAX_BODY_CHARS, parse_mail
from tests.support.mails import MAIL_PIECES, assert_readable

HTML = b"Subject: s\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
PLAIN = b"Subject: s\r\n\r\n"


def nested(levels: int) -> bytes:
    """Return a mail of multiparts in multiparts."""
    heads = (b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels))
    return b"Subject: s\r\n" + b"".join(heads) + b"\r\nhi\r\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (nested(1000), "deeper than 20"),
        (nested(21), "deeper than 20"),
        (b"Subject: s\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 1000, "deeper than 20"),
        (
            b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 10_000,
            "200 parts",
        ),
        (b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 100_000, "200 parts"),
        (b"Subject: s\r\n" + b"X: y\r\n" * 1001 + b"\r\nhi", "1000 header lines"),
        (b"Subject: s\r\nX: " + b"a" * 300_000 + b"\r\n\r\nhi", "256 kB"),
        (b"Subject: s\r\n" + b"X: y\r\n" * 1_000_000, "256 kB"),
    ],
    ids=range(8),
)
def test_past_the_limits_the_subject_is_sent_alone(content, reason):
    """The alarm is never lost: subject and a note that says why the text is missing."""
    mail = parse_mail(content)
    assert mail.subject == "s"
    assert mail.body == ""
    assert any(note.startswith("text unreadable: ") and reason in note for note in mail.notes)


def test_within_the_limits_it_is_read():
    """Nineteen levels and two hundred header fields are odd, not hostile."""
    assert parse_mail(nested(19)).body == "hi"
    assert parse_mail(b"X: y\r\n" * 200 + PLAIN + b"hi").body == "hi"


@pytest.mark.parametrize(
    "content",
    [
        HTML + b"<a '" * 20_000,
        HTML + b"<div>" * 20_000 + b"x",
        HTML + b"<p title='" + b"x" * 1_000_000 + b"'>hi",
        HTML + b"<p " + b" ".join(b"style%d=x" % n for n in range(40_000)) + b">hi",
        HTML + b"<p>" + b"".join(b"<b a%d>" % n for n in range(9_000)) + b"<p>x" * 20_000,
        HTML + b"<table><tr><td>" * 20_000 + b"x",
        HTML + b"<table><tr><td>" * 40 + b"x<br>" * 60_000,
        HTML + b"<!--x>" * 80_000,
        HTML + b"<" * 500_000,
        HTML + b"&#" + b"9" * 500_000 + b";",
        HTML + b"&lt" * 160_000,
        HTML + b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>' + b"&b;" * 100_000,
        HTML + b"<ol><li>" * 60_000,
        HTML + b"<script>" * 60_000,
        PLAIN + b"\r\n" * 2_500_000,
        PLAIN + b" " * 1_000_000,
        PLAIN + b">" * 1_000_000,
        PLAIN + b"--\n" * 80_000,
        PLAIN + b"On aaaaaaaaa\n" * 70_000,
        PLAIN + b"-" * 500_000 + b"x" + b"-" * 400_000,
        PLAIN + b"\x1b]" * 400_000,
        PLAIN + b"-----BEGIN PGP SIGNATURE-----" * 30_000,
        b"Subject: " + b"=?utf-8?q?" * 2000 + b"\r\n\r\nhi",
        b"Subject: " + b"=?u?b??" * 2800 + b"\r\n\r\nhi",
        b"Content-Type: text/plain" + b"; a=b" * 5000 + b"\r\n\r\nhi",
        b'Content-Type: text/plain; a="' + b"\\" * 19_000 + b"\r\n\r\nhi",
        b"To: " + b"a@b.c, " * 10_000 + b"\r\n\r\nhi",
        b"From: " + b"<" * 10_000 + b"\r\n\r\nhi",
        b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"a \r\n" * 250_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * 500_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--x" + b" " * 200_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b " * 1_000_000,
    ],
    ids=range(32),
)
@pytest.mark.timeout(20)
def test_bombs_cost_no_more_than_their_length(content):
    """Each of these takes minutes or gigabytes in some parser; here a bounded text comes out."""
    mail = parse_mail(content)
    assert len(mail.body) <= MAX_BODY_CHARS


def test_a_mail_of_blank_lines_is_not_copied():
    """10 MB of blank lines, 2.7 GB in a parser of lines, need less memory than the mail again."""
    content = PLAIN + b"\r\n" * 5_000_000
    tracemalloc.start()
    parse_mail(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000


@given(st.binary(max_size=2000))
def test_no_bytes_raise(content):
    """Any bytes at all are some mail, without control characters."""
    assert_readable(parse_mail(content))


@given(st.lists(MAIL_PIECES | st.binary(max_size=8), max_size=60).map(b"".join))
def test_no_made_up_mail_raises(content):
    """Mails put together from the dangerous words of mail are read without control characters."""
    assert_readable(parse_mail(content))


@pytest.mark.parametrize("page", ["<p> ", "<div style=display:none>a ", "<!doctype html><p> "])
@pytest.mark.parametrize("kind", ["text/html", "text/plain"])
def test_many_pages_that_say_nothing(page, kind):
    """Only a few empty pages are read before the subject has to do."""
    part = f"--B\nContent-Type: {kind}\n\n{page * (40_000 // len(page))}\n"
    content = f"Subject: s\nContent-Type: multipart/mixed; boundary=B\n\n{part * 190}".encode()
    started = time.process_time()
    assert parse_mail(content).subject == "s"
    assert time.process_time() - started < 3

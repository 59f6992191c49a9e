"""Structures, headers and transfer encodings, honest and broken."""

from __future__ import annotations

import base64

import pytest

from mailbridge.intake.parse import parse_mail


def parse(text: str | bytes):
    """Parse *text* with the line ends of SMTP."""
    content = text.encode() if isinstance(text, str) else text
    return parse_mail(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def multipart(kind: str, *parts: str, end: str = "--b--\n") -> str:
    """Return a multipart mail of *parts*."""
    return f"Subject: s\nContent-Type: multipart/{kind}; boundary=b\n\n" + "".join(f"--b\n{p}\n" for p in parts) + end


PLAIN = "Content-Type: text/plain\n\nplain"
HTML = "Content-Type: text/html\n\n<p>html</p>"
IMAGE = "Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\niVBORw0K"


@pytest.mark.parametrize(
    ("mail", "body", "names"),
    [
        (multipart("alternative", PLAIN, HTML), "plain", []),
        (multipart("alternative", HTML, PLAIN), "plain", []),
        (multipart("alternative", "Content-Type: text/plain\n\n \n", HTML), "html", []),
        (multipart("alternative", PLAIN, "Content-Type: text/calendar\n\nBEGIN:VCALENDAR"), "plain", []),
        (multipart("mixed", PLAIN, PLAIN), "plain\n\nplain", []),
        (multipart("mixed", PLAIN, HTML), "plain", []),
        (multipart("mixed", HTML), "html", []),
        (multipart("mixed", PLAIN, IMAGE), "plain", ["a.png"]),
        (multipart("mixed", IMAGE), "", ["a.png"]),
        (multipart("mixed", PLAIN, "Content-Type: text/plain\nContent-Disposition: attachment; filename=log.txt\n\nno"),
         "plain", ["log.txt"]),
        (multipart("mixed", PLAIN, "Content-Type: text/csv; name=x.csv\n\n1,2"), "plain", ["x.csv"]),
        (multipart("related", HTML, IMAGE), "html", ["a.png"]),
        (multipart("related", IMAGE, HTML), "html", ["a.png"]),
        (multipart("signed", PLAIN, "Content-Type: application/pgp-signature; name=sig.asc\n\nx"), "plain", ["sig.asc"]),
        (multipart("report", PLAIN, "Content-Type: message/delivery-status\n\nStatus: 5.1.1"), "plain", [""]),
        (multipart("digest", "\nSubject: one\n\nfirst", "\nSubject: two\n\nsecond"), "one\nfirst\n\ntwo\nsecond", []),
        (multipart("mixed", PLAIN, "Content-Type: message/rfc822\n\nSubject: inner\n\nold"), "plain", ["inner"]),
        (multipart("mixed", "Content-Type: message/rfc822\n\nSubject: inner\n\nold"), "inner\nold", []),
        ("Subject: s\nContent-Type: message/rfc822\n\nSubject: inner\n\nold", "inner\nold", []),
        (multipart("mixed", PLAIN, end=""), "plain", []),
        (multipart("mixed", "plain without its blank line"), "plain without its blank line", []),
        (multipart("mixed", "\nno header"), "no header", []),
        (multipart("x-unheard-of", PLAIN, IMAGE), "plain", ["a.png"]),
        ("Subject: s\nContent-Type: multipart/mixed; boundary=b\n\nprologue only", "prologue only", []),
        ("Subject: s\nContent-Type: multipart/mixed\n\n--b\nContent-Type: text/plain\n\nplain\n--b--", "plain", []),
        ("Subject: s\nContent-Type: multipart/mixed; boundary=zz\n\n--b\nContent-Type: text/plain\n\nplain\n--b--", "plain", []),
        ("Subject: s\nContent-Type: application/ms-tnef; name=winmail.dat\n\nx", "", ["winmail.dat"]),
        ("Subject: s\nContent-Type: text\n\nplain", "plain", []),
        ("Subject: s\nContent-Type: garbage garbage; =;;\n\nplain", "plain", []),
        ("Subject: s\nContent-Type: text/plain; charset=us-ascii (Plain text)\n\nplain", "plain", []),
        ("Subject: s\nContent-type: TEXT/HTML\n\n<b>x</b>", "x", []),
        ("Subject: s\nContent-Type: text/enriched\n\nplain", "plain", []),
        ("Subject: s\n\nbegin 644 x\n#0V%T\n`\nend", "begin 644 x\n#0V%T\n`\nend", []),
        ("Subject: s\nContent-Type: text/calendar\n\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260112\nSUMMARY:Work\\, late\nEND:VEVENT",
         "Work, late\n12.01.2026", []),
        ("Subject: s\nContent-Type: text/calendar\n\nBEGIN:VEVENT\nDTSTART:soon\nSUMMARY:a\\nb\n c", "a\nbc", []),
        (multipart("alternative", "Content-Type: text/calendar\n\nx", HTML), "html", []),
        (multipart("alternative", PLAIN, "Content-Type: multipart/related; boundary=r\n\n--r\n" + HTML + f"\n--r\n{IMAGE}\n--r--"),
         "plain", ["a.png"]),
        (multipart("alternative", IMAGE, PLAIN), "plain", ["a.png"]),
    ],
)  # fmt: skip
def test_structures(mail, body, names):
    """The text a person would look at is found, the files are named."""
    parsed = parse(mail)
    assert parsed.body == body
    assert [attachment.name for attachment in parsed.attachments] == names


def test_parts_in_parts():
    """Mixed of related of alternative, as every second mail client writes."""
    inner = "Content-Type: multipart/alternative; boundary=i\n\n--i\n" + HTML + "\n--i\n" + PLAIN + "\n--i--"
    related = f"Content-Type: multipart/related; boundary=r\n\n--r\n{inner}\n--r\n{IMAGE}\n--r--"
    parsed = parse(multipart("mixed", related, "Content-Type: application/pdf; name=b.pdf\n\nx"))
    assert parsed.body == "plain"
    assert [attachment.name for attachment in parsed.attachments] == ["a.png", "b.pdf"]


def test_boundary_that_begins_like_its_parent():
    """``--b`` does not end at ``--bb``."""
    inner = "Content-Type: multipart/alternative; boundary=bb\n\n--bb\n" + PLAIN + "\n--bb--"
    assert parse(multipart("mixed", inner, "\nmore")).body == "plain\n\nmore"


@pytest.mark.parametrize(
    ("content", "subject", "body"),
    [
        (b"", "", ""),
        (b"\r\n", "", ""),
        (b"just text", "", "just text"),
        (b"Just text: with a colon\r\n", "", "Just text: with a colon"),
        (b"Warning: disk full\r\nHost: a\r\n\r\nmore", "", "Warning: disk full\nHost: a\n\nmore"),
        (b"Subject: s", "s", ""),
        (b"Subject: s\r\n\r\n", "s", ""),
        (b"\r\n\r\nonly a body\r\n", "", "only a body"),
        (b"\r\nSubject: late\r\n\r\nbody", "late", "body"),
        (b"\xef\xbb\xbfSubject: s\r\n\r\nbody", "s", "body"),
        (b"From x@y Mon Jan 12 03:14:07 2026\r\nSubject: s\r\n\r\nbody", "s", "body"),
        (b"Subject: s\r\nno header line\r\nmore", "s", "no header line\nmore"),
        (b"Subject: s\n\nbody\n", "s", "body"),
        (b"Subject: s\r\rbody\r", "s", "body"),
        (b"Subject: s\r\r\n\r\r\nbody\r\r\n", "s", "body"),
        (b"Subject: s\r\n \t\r\nbody", "s", "body"),
        (b"Subject: s\r\n\r\nContent-Type: text/html\r\n\r\n<p>x</p>", "s", "x"),
        (b"Subject : spaced\r\n\r\nx", "spaced", "x"),
        (b"SUBJECT:tight\r\n\r\nx", "tight", "x"),
        (b"Subject: a\r\n\tb\r\n c\r\n\r\nx", "a b c", "x"),
        (b"Subject: \r\n =?utf-8?q?=D0=AF?=\r\n\r\nx", "Я", "x"),
        (b"Subject: a\0b\x07c\r\n\r\nd\0e", "abc", "de"),
    ],
)
def test_where_the_header_ends(content, subject, body):
    """Blank lines forgotten, doubled or made of blanks; marks before the header; all line ends."""
    parsed = parse_mail(content)
    assert (parsed.subject, parsed.body) == (subject, body)


@pytest.mark.parametrize(
    ("encoding", "raw", "body"),
    [
        ("quoted-printable", b"=D0=AF=\r\n x=3D1 =\r\n", "Я x=1"),
        ("quoted-printable", "8-bit Я =zz".encode(), "8-bit Я =zz"),
        ("Quoted-Printable ", b"a=20b", "a b"),
        ("base64", base64.b64encode("Привет".encode()), "Привет"),
        ("base64", base64.b64encode("Привет".encode()).rstrip(b"="), "Привет"),
        ("BASE64", b"0J/R\r\n\r\n gNC40LLQtdGC!!", "Привет"),
        ("base64", b"UHJpdmV0\r\n-- list footer --\r\n", None),
        ("base64", b"This is not base64, it is text.", "This is not base64, it is text."),
        ("8bit", "Привет".encode(), "Привет"),
        ("binary", b"x", "x"),
        ("x-uuencode", b"begin", "begin"),
        ("7bit; nonsense", b"x", "x"),
    ],
)
def test_transfer_encodings(encoding, raw, body):
    """Encodings honest, damaged or lied about."""
    parsed = parse_mail(
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + raw
    )
    assert parsed.body.startswith("Privet") if body is None else parsed.body == body


def test_what_the_rest_of_the_bridge_asks_for():
    """From, To, Message-ID, Received and Auto-Submitted as values."""
    parsed = parse(
        "Received: a\nReceived: b\nFrom: =?utf-8?b?0JDQvdC90LA=?= <anna@example.org>\nTo: <1@sms.local>,\n 2@sms.local\n"
        "Message-Id: <x@y>\nAUTO-SUBMITTED: Auto-Generated; x=y\nX-A: 1\nX-A: 2\n\nt"
    )
    assert (parsed.from_name, parsed.from_address) == ("Анна", "anna@example.org")
    assert parsed.to == "<1@sms.local>, 2@sms.local"
    assert parsed.message_id == "<x@y>"
    assert parsed.received_count == 2
    assert parsed.auto_submitted == "auto-generated"
    assert parsed.header("x-a") == "1"
    assert [value for name, value in parsed.headers if name == "X-A"] == ["1", "2"]


def test_size_of_an_attachment_is_known_without_opening_it():
    """The size is that of the file, not of its base64."""
    data = base64.encodebytes(bytes(1000)).decode()
    parsed = parse(multipart("mixed", PLAIN, f"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n{data}"))
    assert abs(parsed.attachments[0].size_bytes - 1000) <= 2


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a.txt", "a.txt"),
        ("attachment; filename*=UTF-8''%D0%AF.txt", "Я.txt"),
        ("attachment; filename*0*=koi8-r''%D1; filename*1=.txt", "я.txt"),
        ("attachment; filename*0=a; filename*1=b; filename*2=.c", "ab.c"),
        ('attachment; filename="=?utf-8?b?0K8udHh0?="', "Я.txt"),
        ('attachment; filename="\\"q\\".txt"', '"q".txt'),
        ('attachment; filename="C:\\\\dir\\\\x.txt"', "x.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="a\tb\x1b[0m.txt"', "a b.txt"),
        ('attachment; filename="unended', "unended"),
        ("attachment; filename*99999999999=x; filename=y", "y"),
        ("attachment; filename*=x-unknown''%FF%00", "я"),
        ("attachment", ""),
    ],
)
def test_names_of_attachments(header, name):
    """RFC 2231 in all its spellings, encoded words where they must not stand, and paths cut off."""
    parsed = parse(multipart("mixed", PLAIN, f"Content-Type: application/x\nContent-Disposition: {header}\n\nx"))
    assert parsed.attachments[0].name == name

"""Which parts of a mail are its text."""

from __future__ import annotations

import pytest

from mailbridge.intake.parse import parse_mail

HEAD = "From: a@b.ru\nSubject: s\nMIME-Version: 1.0\n"


def part(kind: str, body: str, more: str = "") -> str:
    """Return one part of a multipart."""
    return f"Content-Type: {kind}\n{more}\n{body}\n"


def read(kind: str, *parts: str):
    """Parse a mail of these parts."""
    whole = "".join(f"--BB\n{text}" for text in parts)
    return parse_mail(f"{HEAD}Content-Type: multipart/{kind}; boundary=BB\n\n{whole}--BB--\n".encode())


@pytest.mark.parametrize(
    "stopgap",
    [
        "To view the message, please use an HTML compatible email viewer!",
        "Your email client does not support HTML messages.",
        "This is an HTML message. Please use an HTML capable mail program to read this message.",
        "Ваш почтовый клиент не поддерживает HTML.",
        "Для просмотра письма включите отображение HTML",
        "Please view this email in a browser: https://example.org/z",
        "https://track.example.org/open/abc",
        "[image: logo]",
        "\u200b",
        "--",
    ],
)
@pytest.mark.parametrize("kind", ["alternative", "mixed"])
def test_a_stopgap_gives_way_to_the_page(kind, stopgap):
    """A plain text that only says there is a page, or says nothing, is not the alarm."""
    page = part("text/html; charset=utf-8", "<p>Сервер упал</p><p>порт 80</p>")
    assert read(kind, part("text/plain; charset=utf-8", stopgap), page).body == "Сервер упал\nпорт 80"


def test_a_stopgap_is_better_than_nothing():
    """Where the page is empty, the stopgap is what there is."""
    mail = read("alternative", part("text/plain", "https://example.org/1"), part("text/html", "<img src=x>"))
    assert mail.body == "https://example.org/1"


@pytest.mark.parametrize(
    "text", ["HTML report could not be read", "Unable to read sensor 4", "DB version check: html ok"]
)
def test_an_alarm_about_pages_is_an_alarm(text):
    """The words of a stopgap in a true alternative cost nothing."""
    mail = read("alternative", part("text/plain", text), part("text/html", f"<p>{text}</p>"))
    assert mail.body == text


def test_a_footer_does_not_hide_the_page():
    """Lists and virus scanners add a plain part behind the page."""
    page = part("text/html", "<p>Alarm <b>1</b></p>")
    assert read("mixed", page, part("text/plain", "Scanned by gateway")).body == "Alarm 1\n\nScanned by gateway"
    assert read("mixed", page, part("text/plain", "--\nStaff list")).body == "Alarm 1"
    assert read("mixed", page, part("text/plain", "Alarm 1")).body == "Alarm 1"
    assert read("mixed", part("text/plain", "Plain"), page).body == "Plain"
    assert read("mixed", page, part("image/png", "x"), part("text/html", "<p>more</p>")).body == "Alarm 1\n\nmore"


@pytest.mark.parametrize("kind", ["text/csv", "text/vcard", "text/xml", "text/plain; name=log.txt"])
def test_texts_that_are_files_are_files(kind):
    """They are read only where there is nothing else."""
    mail = read("mixed", part("text/plain", "Alarm"), part(kind, "a;b"))
    assert mail.body == "Alarm"
    assert len(mail.attachments) == 1


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "<!DOCTYPE html>\n<html><body><p>Alarm</p>door</body></html>", "Alarm\ndoor"),
        ("text/plain", "<b>x</b> {{ 7*7 }} <script>", "<b>x</b> {{ 7*7 }} <script>"),
        ("text/plain", "\n<p>Event: <b>Paper out</b><br/>Tray&nbsp;2</p>\n", "Event: Paper out\nTray 2"),
        ("text/plain", "<div style='color:red'>Door 5</div>open<BR />", "Door 5\nopen"),
        ("text/plain", "<p>Blocked: GET /?q=<script>", "<p>Blocked: GET /?q=<script>"),
        ("text/plain", "<host> rebooted <b>twice</b>", "<host> rebooted <b>twice</b>"),
        ("text/x-amp-html", "<html amp4email><body><p>amp</p></body></html>", "amp"),
        ("application/xhtml+xml", "<html><body><p>Alarm</p></body></html>", "Alarm"),
        ("application/json", '{"zone": 5, "state": "open"}', '{"zone": 5, "state": "open"}'),
        ("application/octet-stream", "Дверь открыта", "Дверь открыта"),
        ("application/octet-stream", "%PDF-1.4\x00\x01", ""),
        ("application/json; name=data.json", "{}", ""),
        ("text/enriched", "<bold>Alarm</bold> a << b", "Alarm a < b"),
        ("text/html, charset=utf-8", "<p>Сбой</p>", "Сбой"),
        ("text/html charset=utf-8", "<p>Сбой</p>", "Сбой"),
        ("html", "<p>x</p>", "x"),
        ("text/plain (words); charset=utf-8", "Сбой", "Сбой"),
    ],
)
def test_kinds(kind, body, text):
    """A page, or a piece of one, is read as a page, however it is declared; a text with tags in it stays as written."""
    assert parse_mail(f"{HEAD}Content-Type: {kind}\n\n{body}".encode()).body == text


def test_charset_of_a_page_stands_in_the_page():
    """``<meta charset>`` counts where the part declares none."""
    page = '<html><head><meta charset="gb2312"></head><body>服务器</body></html>'
    assert parse_mail(f"{HEAD}Content-Type: text/html\n\n".encode() + page.encode("gb2312")).body == "服务器"


@pytest.mark.parametrize(
    ("boundary", "used"), [("'abc'", "abc"), ('" a b "', " a b"), ('"abc"', "abcd"), ("", "x y"), ("abc", "----=_1")]
)
def test_boundaries_that_differ(boundary, used):
    """What stands before the first part and ends below is the boundary."""
    content = (
        f"{HEAD}Content-Type: multipart/mixed; boundary={boundary}\n\nThis is MIME.\n--{used}\n\nhello\n--{used}--\n"
    )
    assert parse_mail(content.encode()).body == "hello"


def test_a_fold_without_its_blank():
    """A header goes on where known fields and a blank line follow; a mail without a blank line loses nothing."""
    mail = parse_mail(b"Subject: long\nand more\nFrom: a@b.ru\nMIME-Version: 1.0\n\nbody")
    assert (mail.subject, mail.from_address, mail.body) == ("long and more", "a@b.ru", "body")
    crude = parse_mail(b"Subject: Alarm\nDoor open\nTime: 03:14\n\nbye")
    assert (crude.subject, crude.body) == ("Alarm", "Door open\nTime: 03:14\n\nbye")

"""What a reader of an SMS can do without, and what must stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.clean import clean_line, clean_text
from mailbridge.intake.tidy import tidy_body, unflow


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("  a \t b  \r\n\r\n\r\n\r\nc\n\n", "a b\n\nc"),
        ("a\xa0b\u2003c", "a b c"),
        ("a\u200bb\u00adc\ufeffd\u202ee", "abcde"),
        ("\x1b[31;1mred\x1b[0m \x1b]0;title\x07x", "red x"),
        ("a\0b\x07c\x9bd", "abc"),
        ("a\x0cb\u2028c\x85d", "a\nb\nc\nd"),
        ("a\rb\r\nc", "a\nb\nc"),
        ("up\n-----\ndown", "up\ndown"),
        ("~~~\nup", "~~~\nup"),
        ("=====", "====="),
        ("---------- Disk ----------", "Disk"),
        ("***** Nagios *****", "***** Nagios *****"),
    ],
)
def test_white_space_and_unseen_characters(text, tidied):
    """Blanks fold, controls, bidi and zero-width characters and escape sequences go, ruled lines too."""
    assert tidy_body(text) == tidied


@pytest.mark.parametrize(
    "after",
    [
        "-- \nIvan Petrov\nhead of IT\n1\n2\n3\n4\n5",
        "--\nIvan Petrov",
        "Sent from my iPhone",
        "\nSent from Mail for Windows",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
        "Отправлено с iPhone",
        "Отправлено из мобильной Почты Mail.ru",
        "--\nОтправлено из мобильного приложения Яндекс Почты",
        "On Mon, 12 Jan 2026 at 09:12, Anna <anna@example.org> wrote:\n> Coming?\n> Anna",
        "On Mon, 12 Jan 2026 at 09:12, Anna Ivanova\n<anna@example.org> wrote:\n\n> Coming?",
        "12.01.2026 09:40, Анна Иванова пишет:\n> Когда?",
        "пн, 12 янв. 2026 г. в 09:12, Анна <anna@example.org>:\n\n> Когда?",
        "Понедельник, 12 января 2026, 9:12 +03:00 от Анна <anna@example.org>:\n> Когда?",
        "-----Original Message-----\nFrom: a\nSent: b\nTo: c\nSubject: d\n\nold",
        "-------- Исходное сообщение --------\nold",
        "________________________________\nFrom: A <a@b.c>\nSent: Monday\nTo: B\nSubject: S\n\nold",
        "От: A <a@b.c>\nОтправлено: 12 января\nКому: B\nТема: S\n\nold",
        "От кого: A <a@b.c>\nДата: 12 января\nКому: B\nТема: S\n\nold",
        "> quoted\n> lines",
        "> quoted words",
    ],
)
def test_history_and_signatures_are_cut(after):
    """What was written before, and who wrote it, is known to the reader."""
    assert tidy_body(f"New text.\n\n{after}\n") == "New text."


@pytest.mark.parametrize(
    "text",
    [
        "CPU above limit\n> 90 %",
        "Disk\n--\nHost: a\nState: b\nInfo: c\nTime: d\nUrl: e\nId: f",
        "From: port 7\nto nowhere",
        "Anna wrote: all is well",
        "Mail refused\n\nFrom: a@b.c\nTo: d@e.f\nSubject: x\nReason: mailbox full",
        "От: насос 2\nдавление 0.4",
        "Отправлено с сервера backup: 5 писем",
    ],
)
def test_what_only_looks_like_it_stays(text):
    """Alarms use the same signs for other things."""
    assert tidy_body(text) == text


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("> only\n> quoted", "only\nquoted"),
        ("-- \nIvan", "--\nIvan"),
        (
            "---------- Forwarded message ---------\nFrom: A <a@b.c>\nDate: x\nSubject: s\nTo: b\n\nPower off at 14:00",
            "Power off at 14:00",
        ),
        ("On Mon, Anna <a@b.c> wrote:\n> Coming?\n\nYes", "Yes"),
        ("Hi\n\nOn Mon, Anna <a@b.c> wrote:\n> Coming?\n\nYes\n-- \n1\n2\n3\n4\n5\n6", "Hi\n\nYes"),
        ("Hi\n\nOn Mon, Anna <a@b.c> wrote:\n> Coming?\n\nYes", "Hi\n\nYes"),
    ],
)
def test_a_cut_never_empties_a_mail(text, tidied):
    """A forwarded or bottom-posted text is what the mail has to say."""
    assert tidy_body(text) == tidied


def test_a_reply_may_quote_one_line():
    """Where the header says reply, a lone quoted line is one, figures or not."""
    assert tidy_body("yes\n> 90 %?", reply=True) == "yes"


@pytest.mark.parametrize(
    ("flowed", "delete_space", "text"),
    [
        ("a \r\nb\r\nc", False, "a b\nc"),
        ("a \nb", True, "ab"),
        (" >not quoted", False, ">not quoted"),
        (">> a \n>> b\n> c", False, "> a b\n> c"),
        ("a \n-- \nIvan", False, "a \n-- \nIvan"),
        ("a \n> b", False, "a \n> b"),
    ],
)
def test_flowed_text(flowed, delete_space, text):
    """Soft breaks join, quote depths and signatures don't (RFC 3676 sections 4.1 to 4.5)."""
    assert unflow(flowed, delete_space=delete_space) == text


def test_a_letter_and_its_mark_are_one():
    """A text with letters taken apart costs no more than the same text composed."""
    assert clean_text("и\u0306 Е\u0308 e\u0301 q\u0301") == "й Ё é q\u0301"


def test_a_line_below_a_heading_goes():
    """A heading may be underlined with signs as many as it has letters."""
    assert tidy_body("Logs\n====\nx\n---\ny") == "Logs\nx\n---\ny"


@given(st.text(max_size=300))
def test_only_readable_characters_are_left(text):
    """No text leaves a control character but the line end, and tidying twice changes no character class."""
    tidied = tidy_body(text)
    assert all(c == "\n" or (c >= " " and not 0x7F <= ord(c) < 0xA0) for c in tidied)
    assert "\n\n\n" not in tidied
    assert tidied == tidied.strip()
    assert "\n" not in clean_line(text)
    assert clean_text(clean_text(text)) == clean_text(text)

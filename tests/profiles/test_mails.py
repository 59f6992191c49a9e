"""Mails of each device, and the one line each becomes; every pair was read by a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.header import Header
from pathlib import Path

import pytest

from mailbridge.config.check_rules import BUILT_IN_PROFILES
from mailbridge.config.model import MessageDefaults
from mailbridge.config.profiles import read_profiles
from mailbridge.intake.compose import Composer
from mailbridge.intake.parse import parse_mail
from mailbridge.model.mail import Recipient
from mailbridge.model.phone import Phone
from mailbridge.model.reading import GENERIC
from mailbridge.profiles.load import BUILT_IN, load_profiles

MAILS = Path(__file__).parent.parent / "data" / "profiles"
PATHS = sorted(MAILS.glob("*/*.eml"))
EMAILS = sorted((MAILS.parent / "emails").glob("*.eml"))
RECIPIENT = Recipient(address="79991234567@sms.local", channel="sms", phone=Phone("+79991234567"))
NOW = datetime(2026, 1, 14, 9, 30, tzinfo=UTC)
PROFILES = load_profiles()
COMPOSER = Composer(MessageDefaults())


def reading_of(path):
    """Return what the profiles make of a mail in a file."""
    return PROFILES.read(parse_mail(path.read_bytes()))


def outcome(path):
    """Return what of a mail is compared: the SMS, and what rules and digests see of it."""
    mail = parse_mail(path.read_bytes())
    reading = PROFILES.read(mail)
    message = COMPOSER.compose(mail, RECIPIENT, NOW, reading=reading)
    fields = ("profile", "host", "service", "state", "severity", "event", "time")
    found = {"text": message.text, "parts": message.parts, **{name: getattr(reading, name) for name in fields}}
    return found | ({"about": reading.about} if reading.about else {})


def test_the_built_in_files_are_sound():
    """Every built-in file passes the check that a user's file has to pass, patterns included."""
    specs, problems = read_profiles(BUILT_IN)
    assert problems == []
    assert {spec.name for spec in specs} | {"generic"} == BUILT_IN_PROFILES == PROFILES.names


@pytest.mark.parametrize("name", sorted(BUILT_IN_PROFILES))
def test_each_profile_has_its_mails(name):
    """At least three mails for each profile."""
    assert len(list((MAILS / name).glob("*.eml"))) >= 3


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_mail_becomes_one_line(path):
    """The SMS and the fields are as recorded; a line is one part."""
    found = outcome(path)
    assert found == json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert found["profile"] == path.parent.name
    if found["profile"] != "generic":
        assert found["parts"] == 1


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_line_ends_do_not_matter(path):
    """A mail with bare LF reads the same."""
    other = parse_mail(path.read_bytes().replace(b"\r\n", b"\n"))
    assert PROFILES.read(other).short == reading_of(path).short


@pytest.mark.parametrize("name", sorted(BUILT_IN_PROFILES - {"generic", "fortigate-otp", "cron"}))
def test_a_problem_and_its_end_are_told_apart(name):
    """Each profile has a mail of a problem (or of a job that failed) and one that says that all is well."""
    events = {reading_of(path).event for path in (MAILS / name).glob("*.eml")}
    assert {"problem", "recovery"} <= events


@pytest.mark.parametrize("path", EMAILS, ids=lambda path: path.stem)
def test_the_mails_of_others_are_not_claimed(path):
    """A mail that a profile claims in the large collection is named after its device; people's are never claimed."""
    reading = reading_of(path)
    allowed = {
        "013-monit-restart": "generic", "081-utf16-windows": "windows-task", "099-dotnet-unclosed-table": "1c",
    }  # fmt: skip
    expected = allowed.get(path.stem)
    if expected is not None:
        assert reading.profile == expected
    elif reading != GENERIC:
        device = reading.profile.partition("-")[0]
        assert device in path.stem.replace("icinga2", "icinga") or reading.profile in path.stem


def test_a_mail_that_is_not_understood_loses_nothing():
    """A Nagios mail without host and state is sent like any other mail, whole."""
    mail = parse_mail(
        b"From: n@example.org\r\nSubject: odd\r\n\r\n***** Nagios *****\r\n\r\nNotification Type: PROBLEM\r\n"
    )
    assert PROFILES.read(mail) == GENERIC
    message = COMPOSER.compose(mail, RECIPIENT, NOW, reading=PROFILES.read(mail))
    assert message.text == "odd: ***** Nagios *****\nNotification Type: PROBLEM"
    assert message.profile == "generic"


@pytest.mark.parametrize(
    ("body", "info"),
    [
        ("Соединение отклонено", ": Соединение отклонено"),
        ("Please call\nPetr\n", ": Please call Petr"),
        ("Host: web1\nAddress: 10.1.1.1\n", ""),
        ("", ""),
    ],
    ids=["one line", "two lines", "of the device's form", "none"],
)
def test_words_below_a_subject_that_tells_the_rest_are_not_lost(body, info):
    """A command of the administrator's own may write anything below Nagios' subject."""
    mail = parse_mail(f"Subject: ** PROBLEM Service Alert: web1/http is CRITICAL **\r\n\r\n{body}".encode())
    assert PROFILES.read(mail).short == f"CRIT web1/http{info}"


def test_a_template_of_ones_own_finds_the_fields():
    """A message.text that is not the default is filled, and the line is its ``short``."""
    composer = Composer(MessageDefaults(text="{{ host }}|{{ service }}|{{ severity }}|{{ event }}|{{ short }}"))
    mail = parse_mail((MAILS / "nagios" / "contract-service.eml").read_bytes())
    message = composer.compose(mail, RECIPIENT, NOW, reading=PROFILES.read(mail))
    assert message.text == "web01|HTTP|critical|problem|CRIT web01/HTTP: Connection refused 12:30"


def test_short_is_always_there():
    """Without a profile ``short`` is the subject, or the text's first line."""
    composer = Composer(MessageDefaults(text="{{ short }}"))
    for content, expected in ((b"Subject: s\r\n\r\nb", "s"), (b"Subject:\r\n\r\nfirst\r\nsecond", "first")):
        mail = parse_mail(content)
        assert composer.compose(mail, RECIPIENT, NOW, reading=PROFILES.read(mail)).text == expected


def rebuilt(mail, subject, body):
    """Return *mail* as bytes with another subject and text, from the same sender."""
    sender = (
        f"{Header(mail.from_name, 'utf-8').encode()} <{mail.from_address}>" if mail.from_name else mail.from_address
    )
    mailer = f"X-Mailer: {mail.header('X-Mailer')}\r\n" if mail.header("X-Mailer") else ""
    head = f"From: {sender}\r\n{mailer}Subject: {Header(subject, 'utf-8', maxlinelen=10_000).encode()}\r\n"
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
@pytest.mark.parametrize(
    ("mark", "banner", "end"),
    [
        ("FW: ", "", ""),
        ("[EXTERNAL] Fwd: ", "", ""),
        ("", "CAUTION: This email originated from outside of the organization.\n\n", ""),
        ("", "", "\n\n-- \nThis message was sent automatically.\nVirus-free. www.example.org"),
        ("Пересл: ", "Внимание! Письмо от внешнего отправителя.\n\n", ""),
    ],
)
def test_what_others_add_to_a_mail_changes_nothing(path, mark, banner, end):
    """A forwarded mail, one with a banner of the mail server, one with a signature: the same line and fields."""
    mail = parse_mail(path.read_bytes())
    before = PROFILES.read(mail)
    if before == GENERIC:
        return
    again = PROFILES.read(parse_mail(rebuilt(mail, mark + mail.subject, banner + mail.body + end)))
    assert again == before

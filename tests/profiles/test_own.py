"""Profiles of one's own: the file of the manual, every mistake with file and line, and mails that mean harm."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.config.patterns import MAX_PATTERN_CHARS, compile_pattern
from mailbridge.config.profiles import parse_profile
from mailbridge.errors import ConfigError
from mailbridge.intake.parse import parse_mail
from mailbridge.intake.segments import count_segments
from mailbridge.model.mail import Mail
from mailbridge.model.reading import GENERIC
from mailbridge.profiles.load import load_profiles
from mailbridge.profiles.reader import Profiles

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "profiles.md"
BUILT_IN = load_profiles()


def mail_of(subject, body, headers=()):
    """Return a mail as parsed."""
    return Mail(
        subject=subject, body=body, from_address="a@example.org", from_name="", to="", message_id="",
        headers=tuple(headers),
    )  # fmt: skip


def own(text, name="mine"):
    """Return one profile in force, alone."""
    spec, problems = parse_profile(text.encode(), file=f"{name}.yaml", name=name)
    assert problems == []
    return Profiles([spec])


def test_the_file_of_the_manual_works():
    """The page's own example reads a mail as it says."""
    [text] = re.findall(r"```\n(# /etc.+?)```", PAGE.read_text("utf-8"), re.DOTALL)
    profiles = own(text, "pump")
    body = "Station: North 2\nFault: overheat\nFault: vibration\nTime: 7:05:11\n"
    assert profiles.read(mail_of("Pump alarm", body)).short == "CRIT North 2: overheat; vibration 07:05"
    assert (
        profiles.read(mail_of("x", "Site\nSouth\nFault: dry run", [("X-Mailer", "PX4 v1")])).short == "South: dry run"
    )
    assert profiles.read(mail_of("pump ok", "Station: North 2")).severity == "ok"
    assert profiles.read(mail_of("pump alarm", "nothing of use: station:")) == GENERIC
    assert profiles.read(mail_of("hello", "Station: North 2")) == GENERIC


def test_json_is_taken_apart():
    """A dotted path leads into the first JSON value; ``*`` is every item, and more than three are counted."""
    profiles = own(
        'recognise: [{body: "alerts"}]\nfields:\n  info: [{json: "alerts.*.labels.host", all: ", "}]\n  state: {json: status}\n'
        'line: "{{ state }} {{ info }}"\nneeds: [info]\n'
    )
    report = {"status": "firing", "alerts": [{"labels": {"host": f"h{n}"}} for n in range(5)]}
    mail = mail_of("s", f"Here: {json.dumps(report)} end")
    assert profiles.read(mail).short == "FIRING h0, h1, h2 +2"
    assert profiles.read(mail_of("s", '{"alerts": [')) == GENERIC
    assert profiles.read(mail_of("s", "alerts " + "[" * 20000)) == GENERIC


def test_groups_are_put_together_and_what_is_over_is_not_read():
    """``\\1`` in ``as`` is a group, ``until`` ends the reading, ``about`` may be a field, a label has its colon."""
    profiles = own(
        "recognise: [{subject: jobs}]\nneeds: [info]\nuntil: '(?s)bad:.*?\\n(good:)'\nfields:\n"
        "  info: [{re: '(?m)^(\\S+) broke (.+)$', as: '\\1: \\2', all: '; '}]\n"
        "  service: {cell: [Service, Service Name]}\n  about: [{field: info}]\nline: '{{ host }} {{ info }}'\n"
    )
    body = "Service Name: night\nbad:\na broke down\nb broke in\ngood:\nc broke even\n"
    reading = profiles.read(mail_of("jobs", body))
    assert reading.short == "night a: down; b: in"
    assert reading.about == "a: down; b: in"


def test_a_file_of_a_built_in_name_takes_its_place(tmp_path):
    """The user's folder wins, and everything else stays."""
    (tmp_path / "nagios.yaml").write_text("recognise: [{subject: pump}]\nfields: {info: '(.+)'}\nneeds: [info]\n")
    profiles = load_profiles(str(tmp_path))
    assert profiles.names == BUILT_IN.names
    assert profiles.read(mail_of("pump", "is dry")).short == "is dry"
    with pytest.raises(ConfigError):
        load_profiles(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fields: {}", "1: recognise: is missing; say how such a mail is recognised"),
        ("recognise:\n  - {sbject: x}", "2: recognise[0].sbject: no such place; use subject, body, from, from_name, has or header: {Name: …}"),
        ("recognise: x", '1: recognise: is not a list; write items that begin with "- "'),
        ("recogn: []", '1: recogn: unknown key "recogn"; known keys here: title, recognise, needs, fields, line, priority, until'),
        ("recognise: [{subject: x}]\nfields:\n  hots: x", '3: fields.hots: no such field as "hots"; there are host, service, state, severity, info, event, time, about'),
        ("recognise: [{subject: x}]\nfields:\n  host: {cell: a, json: b}", "3: fields.host: says not in one way how the value is found; use one of re, cell, json, value, field"),
        ("recognise: [{subject: x}]\nfields:\n  host:\n    - {cell: a, nope: b}", "4: fields.host[0].nope: unknown key; use re, cell, json, value, field, in, map, all, as"),
        ("recognise: [{subject: x}]\nneeds: [host]", '2: needs[0]: nothing fills "host"; name fields that are given above'),
        ("recognise: [{subject: 're:('}]", "1: recognise[0].subject: not an RE2 pattern: missing ): (; see github.com/google/re2/wiki/Syntax"),
        ("recognise: [{subject: x}]\nline: '{{ hots }}'", '2: line: no such variable as "hots"; did you mean "host"?'),
        ("recognise: [{subject: x}]\nuntil: '('", "2: until: not an RE2 pattern: missing ): (; see github.com/google/re2/wiki/Syntax"),
        ("recognise: [{subject: x}]\npriority: high", "2: priority: is not a whole number; write a number such as 10"),
    ],
)  # fmt: skip
def test_mistakes_are_named(text, problem):
    """File, line, place, what is wrong and what to write."""
    spec, problems = parse_profile(text.encode(), file="mine.yaml", name="mine")
    assert spec is None
    assert [str(one) for one in problems] == [f"mine.yaml:{problem}"]


def test_a_name_is_a_name():
    """A file with blanks or capitals in its name is refused, for rules have to name it."""
    _, problems = parse_profile(b"recognise: [{subject: x}]", file="My Pump.yaml", name="My Pump")
    assert len(problems) == 1


def test_a_pattern_cannot_hang():
    """What takes a backtracking machine years is told at once; a pattern too large is refused."""
    began = time.perf_counter()
    assert compile_pattern("(a+)+$").search(b"a" * 16_000 + b"!") is None
    assert compile_pattern(r"(x*)*y").search(b"x" * 16_000) is None
    assert time.perf_counter() - began < 5
    with pytest.raises(ValueError, match="too large"):
        compile_pattern("[\\pL]{1000}" * 20)
    with pytest.raises(ValueError, match="shorten it"):
        compile_pattern("a" * (MAX_PATTERN_CHARS + 1))


WORDS = st.sampled_from(
    ["***** Nagios *****", "Notification Type: PROBLEM", "Host: ", "State: CRITICAL", "Problem name: ", "UPS a@b on battery", "[FIRING:1] ",
     "alertname = ", "Device: /dev/sda, ", "\n", ": ", "= ", "[🔴 Down]", "EVENT TYPE: ", "devname=", "logid=", "token code 123456", "\ud800", "{", "["]
)  # fmt: skip
HOSTILE = st.lists(WORDS | st.text(max_size=20), max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(HOSTILE, HOSTILE)
def test_whatever_a_mail_says_it_is_one_short_line_or_generic(subject, body):
    """No text makes a profile raise; what it understands is one line of words, and never empty."""
    reading = BUILT_IN.read(mail_of(" ".join(subject.split()), body))
    assert (reading.short == "") is (reading == GENERIC)
    assert "\n" not in reading.short
    assert count_segments(reading.short)[1] >= 1
    assert reading.time == "" or re.fullmatch(r"[0-2]\d:[0-5]\d", reading.time)


def test_a_huge_mail_is_read_in_no_time():
    """64,000 characters of labels cost a bounded time."""
    body = "***** Nagios *****\n" + "Notification Type: PROBLEM\nHost: a\nState: DOWN\n" + "x: y\n" * 12_000
    content = f"Subject: s\r\n\r\n{body}".encode()
    began = time.perf_counter()
    assert BUILT_IN.read(parse_mail(content)).short == "DOWN a"
    assert time.perf_counter() - began < 5

"""The list of rules as a decision: what fits, what it says, and why, in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.config.model_rules import Rule
from mailbridge.intake.parse import parse_mail
from mailbridge.model.mail import Client, Recipient
from mailbridge.model.phone import Phone
from mailbridge.model.reading import Reading
from mailbridge.rules.engine import NO_RULE, Action, Facts, Rules

MAIL = (
    b"From: Nagios <nagios@mon.example.org>\r\nSubject: ** PROBLEM Service Alert: web01/HTTP is CRITICAL **\r\n"
    b"X-Priority: 1 (Highest)\r\nX-Priority: 3\r\n\r\nDisk /var is full\r\n"
)
WEDNESDAY_NOON = datetime(2026, 1, 14, 12, 0, tzinfo=UTC)


def facts(*, client="10.1.2.3", user=None, at=WEDNESDAY_NOON, sender="bounce@mon.example.org", **reading):
    """Return one mail to one recipient at one moment."""
    recipient = Recipient(
        address="79991234567+flash@sms.local", channel="sms", phone=Phone("+79991234567"), options=(("flash", ""),)
    )
    return Facts(parse_mail(MAIL), sender, recipient, Client(address=client, user=user), at, Reading(**reading))


def rules(*written):
    """Return rules as the configuration would have them; the machine's zone is UTC."""
    return Rules([Rule.model_validate(rule) for rule in written], zone=UTC)


def fits(match, **given_facts):
    """Tell whether a rule with this *match* fits."""
    return rules({"name": "r", "match": match}).decide(facts(**given_facts)).rules == ("r",)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, True),
        ({"from": "nagios@*"}, True),
        ({"from": "BOUNCE@mon.example.org"}, True),
        ({"from": "nagios"}, False),
        ({"from": ["zabbix@*", "re:^nagios@"]}, True),
        ({"recipient": "*@sms.local"}, True),
        ({"recipient": "79991234567@sms.local"}, True),
        ({"recipient": "+7999*"}, True),
        ({"recipient": "*flash*"}, False),
        ({"subject": "*critical*"}, True),
        ({"subject": "re:critical"}, False),
        ({"subject": "re:(?i)critical"}, True),
        ({"subject": "?? PROBLEM*alert*"}, True),
        ({"text": "*disk*full*"}, True),
        ({"text": "disk"}, False),
        ({"header": {"x-priority": "1*"}}, True),
        ({"header": {"X-Priority": "3"}}, True),
        ({"header": {"X-Priority": "5*"}}, False),
        ({"header": {"X-None": "*"}}, False),
        ({"network": "10.0.0.0/8"}, True),
        ({"network": ["192.168.0.0/16", "10.1.2.3"]}, True),
        ({"network": "unix"}, False),
        ({"user": "*"}, False),
        ({"time": "11:00-13:00"}, True),
        ({"time": "12:00-12:01"}, True),
        ({"time": "11:00-12:00"}, False),
        ({"time": "22:00-08:00"}, False),
        ({"time": "22:00-08:00, 11:30-12:30"}, True),
        ({"days": "mon-fri"}, True),
        ({"days": "sat, sun"}, False),
        ({"days": "sun-wed"}, True),
        ({"profile": "nagios"}, True),
        ({"profile": ["zabbix", "icinga"]}, False),
        ({"severity": "critical"}, True),
        ({"event": "recovery"}, False),
        ({"from": "nagios@*", "severity": "warning"}, False),
    ],
)
def test_conditions(match, expected):
    """Each condition by itself, as the documentation says it."""
    assert fits(match, profile="nagios", severity="critical", event="problem") is expected


@pytest.mark.parametrize(
    ("client", "network", "expected"),
    [
        ("unix", "unix", True), ("local", "unix, local", True), ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("fe80::1", "fe80::/10", True), ("fe80::1", "10.0.0.0/8", False), ("", "0.0.0.0/0", False),
    ],
)  # fmt: skip
def test_networks(client, network, expected):
    """Clients without an address fit their words alone; IPv4 within IPv6 is IPv4."""
    assert fits({"network": network}, client=client) is expected


def test_a_user_is_a_user_who_signed_in():
    """``user`` fits the name in any case."""
    assert fits({"user": "zab*"}, user="Zabbix")
    assert not fits({"user": "zab*"}, user="nagios")


def test_times_are_in_the_rules_zone():
    """Noon in UTC is 15:00 in Moscow, and 01:00 on Thursday in Kiritimati is a night."""
    written = {"name": "r", "match": {"time": "14:30-15:30"}, "timezone": "Europe/Moscow"}
    assert rules(written).decide(facts()).rules == ("r",)
    far = {"name": "r", "match": {"time": "22:00-08:00", "days": "thu"}, "timezone": "Pacific/Kiritimati"}
    assert rules(far).decide(facts()).rules == ("r",)


def test_the_first_that_fits_decides():
    """Later rules are not asked."""
    decision = rules(
        {"name": "not", "match": {"subject": "x"}, "action": "drop"},
        {"name": "first", "set": {"sender": "A"}},
        {"name": "second", "set": {"sender": "B"}, "action": "hold"},
    ).decide(facts())
    assert (decision.rule, decision.options.sender, decision.action) == ("first", "A", Action.SEND)


def test_continue_goes_on_and_later_words_win():
    """What a later rule does not say stays as it was."""
    decision = rules(
        {"name": "all", "set": {"sender": "A", "max_parts": 1, "lifetime": "1h"}, "action": "hold", "continue": True},
        {"name": "not", "match": {"user": "x"}, "set": {"sender": "C"}},
        {"name": "more", "set": {"sender": "B", "text": "{{ short }}"}},
    ).decide(facts())
    assert decision.rule == "all, more"
    assert (decision.options.sender, decision.options.max_parts, decision.options.template) == ("B", 1, "{{ short }}")
    assert (decision.action, decision.lifetime_s) == (Action.HOLD, 3600.0)


@pytest.mark.parametrize(
    ("to", "words", "keeps"),
    [
        (["oncall"], ("oncall",), False),
        (["+79990000001"], ("+79990000001",), False),
        (["+oncall"], ("oncall",), True),
        (["++79990000001"], ("+79990000001",), True),
        (["anna", "+boris", "anna"], ("anna", "boris"), False),
    ],
)
def test_to_replaces_or_adds(to, words, keeps):
    """A plus before a name adds it; before a digit it belongs to the number."""
    decision = rules({"to": to}).decide(facts())
    assert (decision.to, decision.keeps_recipient) == (words, keeps)


def test_no_rules_and_none_that_fits_say_nothing():
    """The decision is the one value that changes nothing."""
    assert rules().decide(facts()) is NO_RULE
    assert rules({"match": {"user": "x"}}).decide(facts()) is NO_RULE
    assert not rules()


def test_the_trace_says_why():
    """One line for each rule that was looked at; a rule without a name has its number."""
    steps = list(
        rules(
            {"name": "lab", "match": {"from": "*@lab.example.org"}},
            {"match": {"subject": "re:(?i)critical", "time": "11:00-13:00"}},
            {"name": "never seen"},
        ).trace(facts())
    )
    assert [(step.name, step.index, step.fits) for step in steps] == [("lab", 0, False), ("rule 2", 1, True)]
    assert steps[0].because == "not from *@lab.example.org"
    assert steps[1].because == "time 11:00-13:00, subject re:(?i)critical"


GLOB = st.text(alphabet="aB*?.(x\n", max_size=8)


@settings(deadline=None)
@given(GLOB, st.text(alphabet="abB.(x\n", max_size=8))
def test_globs_are_globs(glob, text):
    """Fast and slow globs agree with a reading of the glob sign by sign, in any case."""

    def reads(glob, text):
        if not glob:
            return not text
        if glob[0] == "*":
            return reads(glob[1:], text) or (bool(text) and reads(glob, text[1:]))
        return bool(text) and glob[0] in {"?", text[0]} and reads(glob[1:], text[1:])

    from mailbridge.rules.patterns import Value, compile_tests, fits_any

    tests = compile_tests([glob])
    assert fits_any(tests, Value(text)) is reads(glob.lower(), text.lower())


@settings(deadline=None)
@given(st.lists(st.sampled_from(["send", "drop", "hold", "digest", None]), max_size=4))
def test_decision_and_trace_agree(actions):
    """Whatever the list, the rules that decided are those the trace says fitted."""
    made = rules(*({"name": f"r{n}", "action": a, "continue": n % 2 == 0} for n, a in enumerate(actions)))
    assert made.decide(facts()).rules == tuple(step.name for step in made.trace(facts()) if step.fits)

"""The words of a digest."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.storm import named_in
from mailbridge.intake.digest import Told, compose_digests, write_digest
from mailbridge.intake.segments import count_segments
from mailbridge.model.alert import Alert, Event
from tests.support.clock import START
from tests.support.sms import message

MINUTE = timedelta(minutes=1)


def told(subject, severity="critical", event=Event.PROBLEM, after_s=0, short=None):
    """Return one alert *after_s* seconds after the start."""
    host, _, service = subject.partition("/")
    alert = Alert(
        subject=subject, event=event, severity=severity, host=host, service=service, short=short or f"{subject} down"
    )
    return Told(alert=alert, at=START + timedelta(seconds=after_s))


def write(*alerts, parts=2, minutes=5, hold_s=60):
    """Write the digest of *alerts* over five minutes."""
    return write_digest(
        alerts, began_at=START, now=START + minutes * MINUTE, hold_recovery_s=hold_s,
        fits=lambda text: count_segments(text)[1] <= parts,
    )  # fmt: skip


def test_it_counts_by_severity_and_names_what():
    """The gravest first, each with its number and its names; the last one in its own words."""
    text = write(told("web01/HTTP"), told("db2", "warning"), told("web02/HTTP"), told("web01/HTTP", short="web01 gone"))
    assert text == "+4 in 5 min: 3 CRIT web01,02/HTTP, 1 WARN db2; last: web01 gone"


def test_many_of_a_kind_are_named_by_what_they_have_in_common():
    """Numbers in a row are a range; what is named by nothing in common is shortened as far as the parts ask for it."""
    storm = [told(f"web{number:03}/HTTP") for number in range(60)] + [told("db2", "warning")]
    assert write(*storm, parts=1) == "+61 in 5 min: 60 CRIT web000..059/HTTP, 1 WARN db2; last: db2 down"
    storm = [told(f"web-{chr(97 + number % 26) * 8}{chr(97 + number // 26)}") for number in range(60)]
    assert write(*storm, parts=1) == f"+60 in 5 min: 60 CRIT web-*; last: {storm[-1].alert.short}"
    assert "web-aaaaaaaaa, web-bbbbbbbba" in write(*storm, parts=10)


def test_what_is_over_is_told_as_over():
    """A problem that came and went is one line, with how long it lasted; a recovery of an earlier one, too."""
    ok = told("web01/HTTP", "ok", Event.RECOVERY, 120)
    assert write(told("web01/HTTP"), ok, told("mail", "ok", Event.RECOVERY, 130), told("db2", after_s=140)) == (
        "+4 in 5 min: 1 CRIT db2; OK now: web01/HTTP (2 min), mail; last: db2 down"
    )


def test_problem_and_recovery_within_the_hold_cancel_each_other():
    """Nothing is sent where all that happened is over again so soon; anything else beside it is told with them."""
    pair = [told("web01/HTTP"), told("web01/HTTP", "ok", Event.RECOVERY, 30)]
    assert write(*pair) is None
    assert write(*pair, hold_s=10) == "+2 in 5 min: OK now: web01/HTTP (30 s); last: web01/HTTP down"
    assert write(*pair, told("db2")).startswith("+3 in 5 min: 1 CRIT db2; OK now: web01/HTTP")
    # down again
    assert write(*pair, told("web01/HTTP", after_s=40)).startswith("+3 in 5 min: 3 CRIT web01/HTTP")


def test_mails_nobody_understood_are_counted():
    """Without a profile they are named by how they begin."""
    plain = [Told(alert=Alert(subject=str(n), short=f"backup {n} failed"), at=START) for n in range(3)]
    assert write(*plain) == "+3 in 5 min: 3 alerts: backup 0..2 failed; last: backup 2 failed"


@pytest.mark.parametrize(
    ("minutes", "words"), [(0.5, "30 s"), (1, "1 min"), (90, "90 min"), (480, "8 h"), (4320, "3 d")]
)
def test_durations_are_said_as_people_do(minutes, words):
    """Seconds, minutes, hours, days."""
    assert write(told("db2"), minutes=minutes).startswith(f"+1 in {words}: ")


def test_the_message_is_sent_like_the_last_of_them():
    """Phone, channel, sender and letters are its own; parts are counted by how it goes out."""
    like = message("x", sender="NAGIOS", translit=1, wanted_id="7")
    [one] = compose_digests(
        [told("Сервер/HTTP"), told("База", "warning")], like, began_at=START, now=START + MINUTE, hold_recovery_s=60,
        max_parts=1,
    )  # fmt: skip
    composed = one.message
    assert one.places == (0, 1)
    assert (composed.sender, composed.translit, composed.wanted_id) == ("NAGIOS", 1, None)
    assert composed.parts == 1
    assert composed.text.startswith("+2 in 1 min: 1 CRIT Сервер/HTTP")


alerts = st.lists(
    st.builds(
        told,
        st.text(max_size=40),
        st.sampled_from(["critical", "warning", "", "ужас"]),
        st.sampled_from([Event.PROBLEM, Event.RECOVERY, None]),
        st.integers(0, 300),
        st.text(max_size=300),
    ),
    min_size=1,
    max_size=60,
)


@given(alerts=alerts, parts=st.integers(1, 5))
def test_it_begins_with_how_many_and_fits(alerts, parts):
    """Whatever the names: each alert is in one message with the right number and no more parts; or all is over."""
    composed = compose_digests(
        alerts, message("x"), began_at=START, now=START + MINUTE, hold_recovery_s=60, max_parts=parts
    )
    if not composed:
        assert all(one.alert.event is not None for one in alerts)
        return
    assert sorted(place for one in composed for place in one.places) == list(range(len(alerts)))
    assert len(composed) <= 3
    for one in composed:
        assert re.match(rf"\+{len(one.places)} in 1 min: ", one.message.text)
        assert one.message.parts <= parts


def test_names_that_do_not_fit_are_in_a_message_of_their_own():
    """The gravest first; each message counts its own, and no name is missing while three are enough."""
    words = ["mail", "erp", "backup", "wiki", "ldap", "print", "scada", "crm", "ftp", "git", "dns", "vpn"]
    hosts = [f"{word}-{place}" for place in ("msk", "spb", "kzn") for word in words]
    alerts = [told(host, "warning" if number % 3 else "critical") for number, host in enumerate(hosts)]
    composed = compose_digests(
        alerts, message("x"), began_at=START, now=START + MINUTE, hold_recovery_s=60, max_parts=1
    )
    texts = [one.message.text for one in composed]
    assert [int(text[1:].partition(" ")[0]) for text in texts] == [len(one.places) for one in composed]
    assert len(texts) == 3
    assert " CRIT " in texts[0]
    assert all(any(host in text for text in texts) for host in hosts)


def test_a_cyrillic_storm_is_transliterated_where_the_configuration_says_so():
    """``translit: auto`` and ``fit`` hold for digests, too."""
    alerts = [told(f"Сервер {word}", short="x") for word in ("почта", "склад", "касса", "архив")]
    for more, alphabet in (({}, "ucs2"), ({"translit": "auto"}, "gsm7"), ({"fit": "cheapest"}, "gsm7")):
        [one] = compose_digests(
            alerts, message("x"), began_at=START, now=START + MINUTE, hold_recovery_s=60, max_parts=3, **more
        )
        assert one.message.alphabet == alphabet


HOSTS = st.from_regex(re.compile(r"[a-z]{2,8}[0-9]{0,3}", re.ASCII), fullmatch=True)
THINGS = st.sampled_from(["", "HTTP", "Disk /var", "SSL certificate"])
STORIES = st.lists(
    st.tuples(
        HOSTS, THINGS, st.sampled_from(["critical", "warning", "ok"]), st.sampled_from([Event.PROBLEM, Event.RECOVERY]),
        st.booleans(),
    ),
    min_size=1, max_size=60,
)  # fmt: skip


@given(stories=STORIES, parts=st.integers(1, 4))
def test_every_trouble_nobody_has_heard_of_is_named(stories, parts):
    """While three messages are not needed, each new problem stands by its name in the message that counts it."""
    alerts = [
        Told(
            alert=Alert(
                subject=f"{host}/{thing}", host=host, service=thing, severity=severity, event=event, short="short"
            ),
            at=START, is_repeat=is_repeat,
        )
        for host, thing, severity, event, is_repeat in stories
    ]  # fmt: skip
    composed = compose_digests(
        alerts, message("x"), began_at=START, now=START + MINUTE, hold_recovery_s=-1, max_parts=parts
    )
    if len(composed) == 3 or composed[-1].message.notes:
        return
    for one in composed:
        names = named_in(one.message.text)
        for place in one.places:
            told_of = alerts[place]
            if told_of.alert.event is Event.PROBLEM and not told_of.is_repeat:
                assert (told_of.alert.host, told_of.alert.service) in names

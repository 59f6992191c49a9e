"""Storms and quiet nights in the whole bridge, with a clock that a test moves."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from mailbridge.admin import Action, act
from mailbridge.app import Bridge
from mailbridge.front import build_gathers
from mailbridge.model.alert import Alert, Decision, Digest, Event
from mailbridge.model.state import State
from mailbridge.queue.connect import open_store
from mailbridge.queue.contract import Filter
from mailbridge.reception import Reception
from tests.support.house import House, running_house

#: hours pass in them
pytestmark = pytest.mark.slow

DIGEST = {"digest": {"default": {"window": "5m", "longest": "20m", "pass": ["critical"]}}}
#: the fake clock begins at 9:00 UTC
QUIET = {
    "people": {"anna": {"phone": "+79990000001", "quiet": "night"}, "boris": {"phone": "+79990000002"}},
    "quiet_hours": {"night": {"from": "08:00", "to": "10:00", "timezone": "UTC", "pass": ["critical"]}},
}
ANNA, BORIS = "+79990000001", "+79990000002"
HOUR_S = 3600


def texts(house: House) -> list[str]:
    """Return what the gateway was given, oldest first."""
    return [entry["text"] for entry in house.simulator.inbox[::-1]]


async def send(house: House, *to: str, **words: str) -> tuple[int, str]:
    """Send a mail, and let a second pass: mails of one moment have no order."""
    reply = await house.mail(*to, **words)
    house.clock.advance(1)
    return reply


async def settle(house: House) -> None:
    """Let time pass until what is due went out."""
    await house.pass_s(5, 1)


async def told(house: House, count: int) -> list[str]:
    """Let time pass until the gateway was given *count* messages, and return them."""
    for _ in range(60):
        if len(texts(house)) >= count:
            break
        await house.pass_s(1)
    return texts(house)


async def suppressed(house: House) -> int:
    """Return how many messages went out within others."""
    return (await house.store.count_states()).get(State.SUPPRESSED, 0)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """Return a store of each kind, not yet opened."""
    return open_store("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/queue.db")


async def test_a_storm_is_two_messages(store):
    """The first at once, the rest of five minutes as one that counts them; all of them are in the history."""
    async with running_house(store=store, **DIGEST) as house:
        for number in range(38):
            await send(house, ANNA, subject=f"web{number}", text="down")
        await settle(house)
        assert texts(house) == ["web0: down"]
        await house.pass_s(300)
        assert (await told(house, 2))[1:] == ["+37 in 5 min: 37 alerts: web1..37; last: web37: down"]
        assert await suppressed(house) == 37
        (digest,) = await house.store.find(Filter(text="+37"))
        (one,) = await house.store.find(Filter(text="web5:"))
        assert (await house.store.history(one.id))[-1].detail == {"digest": digest.id, "count": 37}
        assert (await house.store.history(digest.id))[0].detail["digest_of"] == 37


async def test_each_recipient_has_a_storm_of_its_own():
    """What one has heard says nothing about another."""
    async with running_house(**DIGEST) as house:
        await send(house, ANNA, subject="one")
        await send(house, BORIS, subject="two")
        await settle(house)
        assert len(texts(house)) == 2


async def test_a_long_storm_has_longer_windows_and_calm_ends_it():
    """5, 10, 20 and 20 minutes; a window in which nothing came is the last, and the next alert goes at once."""
    async with running_house(**DIGEST) as house:
        for minute in range(50):
            await send(house, ANNA, subject=f"alert {minute}")
            await house.pass_s(60, 30)
        starts = [int(match[1]) for text in texts(house) if (match := re.match(r"\+(\d+) ", text))]
        assert len(starts) == 3
        await house.pass_s(2 * HOUR_S, 300)
        assert len(texts(house)) == 5
        await send(house, ANNA, subject="new")
        await settle(house)
        assert texts(house)[-1].startswith("new")


async def test_repeats_are_counted_not_sent():
    """The same alert all day: once at once, then told as a number every four hours."""
    async with running_house(**DIGEST) as house:
        for _ in range(36):
            await send(house, ANNA, subject="disk full", text="91 %", headers=f"X-N: {_}\r\n")
            await house.pass_s(600, 300)
        told = texts(house)
        assert told[0] == "disk full: 91 %"
        assert len(told) == 2
        assert re.match(r"\+2\d in 4 h: 2\d alerts: disk full; last: disk full", told[1])


async def test_the_client_does_not_wait_for_the_verdict_of_what_waits():
    """It is queued, and that is the answer; time stands still."""
    async with running_house(smtp={"reply": "verdict", "verdict_wait": "10s"}, **DIGEST) as house:
        assert "; sent" in (await send(house, ANNA, subject="one"))[1]
        assert re.fullmatch(r"2\.0\.0 Ok: queued as \w+", (await send(house, ANNA, subject="two"))[1])


async def test_a_quiet_morning(store):
    """Anna's alerts wait until ten and are one message then; Boris has his at once; one alone goes as it is."""
    async with running_house(store=store, **QUIET) as house:
        for subject in ("one", "two"):
            await send(house, "anna", BORIS, subject=subject)
        await settle(house)
        assert [entry["phone"] for entry in house.simulator.inbox] == [BORIS] * 2
        await house.pass_s(HOUR_S, 200)
        assert (await told(house, 3))[2:] == ["+2 in 60 min: 2 alerts: one, two; last: two: Hello"]
        # after ten nothing waits
        await send(house, "anna", subject="three")
        await settle(house)
        assert texts(house)[-1].startswith("three")
        await house.pass_s(22 * HOUR_S, HOUR_S / 2)
        await send(house, "anna", subject="four")
        await house.pass_s(3 * HOUR_S, 600)
        assert (await told(house, 5))[-1] == "four: Hello"


async def test_an_alias_has_quiet_hours_of_its_own():
    """Mail to the alias waits, mail to the person does not."""
    quiet = {
        **QUIET,
        "people": {"boris": {"phone": BORIS}},
        "aliases": {"printers": {"to": ["boris"], "quiet": "night"}},
    }
    async with running_house(**quiet) as house:
        await send(house, "printers", subject="paper")
        await send(house, "boris", subject="fire")
        await settle(house)
        assert texts(house) == ["fire: Hello"]


async def test_a_restart_forgets_nothing(store):
    """What waited waits on, and is told when its time comes, though another bridge tells it."""
    async with running_house(store=store, **QUIET) as house:
        for subject in ("one", "two"):
            await send(house, "anna", subject=subject)
        await house.restart()
        await house.pass_s(HOUR_S + 60, 300)
        assert await told(house, 1) == ["+2 in 60 min: 2 alerts: one, two; last: two: Hello"]


async def test_a_clock_set_back_releases_nothing_early_and_holds_nothing_for_ever():
    """At night an hour back: still quiet, so they wait for the same morning; before the night began: they go at once."""
    async with running_house(**QUIET) as house:
        for subject in ("one", "two"):
            await send(house, "anna", subject=subject)
        house.clock.jump_wall(-1800)
        await settle(house)
        assert texts(house) == []
        house.clock.jump_wall(-HOUR_S)
        await settle(house)
        assert len(texts(house)) == 1
        assert texts(house)[0].startswith("+2 ")


async def test_a_clock_set_back_in_a_storm_tells_it_now():
    """A window that began in what is now the future is over: nobody waits for it to come again."""
    async with running_house(**DIGEST) as house:
        for subject in ("one", "two", "three"):
            await send(house, ANNA, subject=subject)
        await settle(house)
        house.clock.jump_wall(-86400)
        await settle(house)
        assert texts(house)[1:] == ["+2 in 0 s: 2 alerts: two, three; last: three: Hello"]


async def test_new_quiet_hours_count_when_the_old_ones_end():
    """A reload that takes them away lets everything out at the time it was promised for, and no later."""
    async with running_house(**QUIET) as house:
        for subject in ("one", "two"):
            await send(house, "anna", subject=subject)
        config = house.bridge._config
        people = {name: person.model_copy(update={"quiet": []}) for name, person in config.people.items()}
        await house.bridge.reload(config.model_copy(update={"people": people, "quiet_hours": {}}))
        await send(house, "anna", subject="three")
        await settle(house)
        assert texts(house) == ["three: Hello"]
        await house.pass_s(HOUR_S, 200)
        assert texts(house)[1:] == ["+2 in 60 min: 2 alerts: one, two; last: two: Hello"]


async def test_a_person_may_take_one_out():
    """One that waits may be cancelled or sent now like any other; the digest counts those that are left."""
    async with running_house(**QUIET) as house:
        rows = []
        for subject in ("one", "two", "three", "four"):
            rows += await house.rows(await send(house, "anna", subject=subject))
        for row, action in zip(rows, (Action.CANCEL, Action.RETRY), strict=False):
            await act(house.store, [row.id], action, lifetime_s=86_400, clock=house.clock, by="test")
        await house.pass_s(HOUR_S + 60, 300)
        assert texts(house) == ["two: Hello", "+2 in 60 min: 2 alerts: three, four; last: four: Hello"]


# --------------------------------------------------------------------------------------------- with decisions
def decided(house: House, digest: Digest | None = None) -> None:
    """Let a subject such as ``PROBLEM critical web01/HTTP`` decide, as a rule with a profile would."""

    def decide(mail, _planned):
        event, severity, subject = mail.subject.split(" ", 2)
        alert = Alert(
            subject=subject, event=Event(event.lower()), severity=severity, host=subject, short=f"{severity} {subject}"
        )
        return Decision(rule="nagios", digest=digest or Digest(passes=frozenset({"critical"})), alert=alert)

    bridge: Bridge = house.bridge
    reception: Reception = bridge._front.reception
    reception._reader._gathers = build_gathers(bridge._config, decide)


async def test_a_severity_passes_once_and_is_counted_then():
    """A critical problem breaks through night and storm; its repeat is counted; a warning waits."""
    async with running_house(**QUIET, **DIGEST) as house:
        decided(house)
        for subject in ("PROBLEM critical db1", "PROBLEM critical db1", "PROBLEM warning db2"):
            await send(house, "anna", subject=subject)
        await settle(house)
        assert texts(house) == ["PROBLEM critical db1: Hello"]


async def test_problem_and_recovery_of_a_short_trouble_cancel_each_other():
    """Both waited, half a minute apart: nobody is woken, and the history says why."""
    async with running_house(**DIGEST) as house:
        decided(house)
        await send(house, ANNA, subject="PROBLEM warning web00/HTTP")
        await send(house, ANNA, subject="PROBLEM warning web01/HTTP")
        await house.pass_s(30)
        row = (await house.rows(await send(house, ANNA, subject="RECOVERY ok web01/HTTP")))[0]
        await house.pass_s(400, 10)
        assert len(texts(house)) == 1
        assert (await house.store.history(row.id))[-1].detail["because"] == "problem and recovery cancel each other"


async def test_problem_and_recovery_of_a_longer_trouble_are_one_line():
    """The problem went out at once; its recovery is told with how long it lasted, where both waited."""
    async with running_house(**DIGEST) as house:
        decided(house)
        await send(house, ANNA, subject="PROBLEM warning web00/HTTP")
        await send(house, ANNA, subject="PROBLEM warning web01/HTTP")
        await house.pass_s(120)
        await send(house, ANNA, subject="RECOVERY ok web01/HTTP")
        await house.pass_s(200, 10)
        assert texts(house)[1:] == ["+2 in 5 min: OK now: web01/HTTP (2 min); last: ok web01/HTTP"]


async def test_time_of_waiting_is_none_of_the_lifetime():
    """With a lifetime of a minute what waits an hour is still delivered."""
    async with running_house(queue={"lifetime": "1m"}, **QUIET) as house:
        reply = await send(house, "anna", subject="one")
        (row,) = await house.rows(reply)
        assert row.expires_at - row.created_at == timedelta(hours=1, minutes=1)
        await house.pass_s(HOUR_S + 60, 30)
        assert texts(house) == ["one: Hello"]

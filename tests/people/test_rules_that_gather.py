"""Rules, device profiles, storms and quiet hours together in the whole bridge, with a clock that a test moves."""

from __future__ import annotations

import pytest

from mailbridge.queue.contract import Filter
from tests.people.test_storms import DIGEST, QUIET, send, told
from tests.support.house import House, running_house

#: hours pass in them
pytestmark = pytest.mark.slow

PHONE = "79990000003"


async def nagios(house: House, host: str, *, state: str = "CRITICAL", minute: int = 30) -> None:
    """Send a mail as Nagios writes it."""
    text = (
        f"***** Nagios *****\r\n\r\nNotification Type: PROBLEM\r\n\r\nService: HTTP\r\nHost: {host}\r\n"
        f"State: {state}\r\n\r\nDate/Time: Wed Jan 14 12:{minute}:07 MSK 2026\r\n\r\nAdditional Info:\r\n\r\nrefused"
    )
    await send(house, PHONE, subject=f"** PROBLEM Service Alert: {host}/HTTP is {state} **", text=text)


async def test_a_rule_gathers_what_a_profile_understood():
    """No default digest is needed; the digest speaks of what the profile found."""
    rules = [{"name": "storm", "match": {"profile": "nagios"}, "digest": {"window": "5m"}}]
    async with running_house(rules=rules) as house:
        for host in ("web01", "web02", "db1"):
            await nagios(house, host)
        assert len(await told(house, 1)) == 1
        await house.pass_s(300)
        first, digest = await told(house, 2)
    assert first.startswith("CRIT web01/HTTP: refused")
    assert digest.startswith("+2 ")
    assert "CRIT" in digest
    assert "db1" in digest


async def test_a_one_time_code_waits_for_nobody_and_is_never_a_duplicate():
    """In a storm, at night, under a rule that gathers and is quiet: each goes at once, the same one twice, too."""
    rules = [{"name": "all", "digest": {"window": "5m"}, "quiet": "night"}]
    async with running_house(rules=rules, people=QUIET["people"], quiet_hours=QUIET["quiet_hours"]) as house:
        for number in range(3):
            await send(house, PHONE, subject=f"storm {number}")
        for code in ("482913", "482913", "100200"):
            await send(house, PHONE, subject=f"AuthCode: {code}", text=f"Your authentication token code is {code}.")
        assert sorted(await told(house, 3)) == ["Code 100200", "Code 482913", "Code 482913"]
        assert len(await house.store.find(Filter(text="storm"))) == 3


async def test_what_a_rule_sends_waits_for_nobody():
    """The default digest is for mail no rule decides about; a rule without a digest sends each by itself."""
    rules = [{"name": "all", "match": {"profile": "nagios"}, "action": "send"}]
    async with running_house(rules=rules, **DIGEST) as house:
        for host in ("web01", "web02"):
            await nagios(house, host)
        assert len(await told(house, 2)) == 2


async def test_the_default_digest_knows_what_a_profile_found():
    """Without any rule a severity passes the storm, and its repeat does not."""
    async with running_house(**DIGEST) as house:
        await nagios(house, "web01", state="WARNING")
        await nagios(house, "web02", state="WARNING")
        await nagios(house, "web03")
        await nagios(house, "web03", minute=31)
        assert [text.partition(":")[0] for text in await told(house, 2)] == ["WARN web01/HTTP", "CRIT web03/HTTP"]
        await house.pass_s(300)
        assert (await told(house, 3))[2].startswith("+2 ")


async def test_quiet_hours_of_a_rule_hold_for_what_it_fits():
    """Other mail to the same number goes out at once."""
    rules = [{"name": "printers", "match": {"subject": "printer*"}, "quiet": "night"}]
    quiet = {"quiet_hours": QUIET["quiet_hours"]}
    async with running_house(rules=rules, **quiet) as house:
        await send(house, PHONE, subject="printer 3", text="no paper")
        await send(house, PHONE, subject="door", text="open")
        assert await told(house, 1) == ["door: open"]
        await house.pass_s(3600)
        assert (await told(house, 2))[1] == "printer 3: no paper"

"""``explain`` and ``preview`` say in words what quiet hours and digests would do to a mail now, for every device."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.clerk import Clerk, foretold_json
from mailbridge.config.model import Config
from mailbridge.config.tree import dotted
from mailbridge.front import build_doorman, build_reader
from mailbridge.model.mail import Client, ReceivedMail
from mailbridge.queue.memory import MemoryStore
from tests.support.clock import FakeClock

MAILS = Path(__file__).parent.parent / "data" / "profiles"
PATHS = sorted(MAILS.glob("*/*.eml"))
NAGIOS = (MAILS / "nagios" / "contract-service.eml").read_bytes()
WARNING = (MAILS / "nagios" / "disk-core4.eml").read_bytes()
OTHER = (MAILS / "icinga" / "own-template.eml").read_bytes()
ANNA, BORIS = "anna@sms.local", "79990000002@sms.local"
CONFIG = Config.model_validate(
    {
        "gateways": {"main": {"login": "x", "password": "x"}},
        "people": {"anna": {"phone": "+79990000001", "quiet": "night"}},
        # the fake clock begins at 9:00 UTC
        "quiet_hours": {"night": {"from": "08:00", "to": "10:00", "timezone": "UTC", "pass": ["critical"]}},
        "digest": {"default": {"pass": ["critical"]}},
        "rules": [{"name": "printers", "match": {"subject": "*toner*"}, "digest": {"window": "1h"}}],
    }
)
HERE = Client(address="127.0.0.1")


class Office:
    """A clerk, a store and a clock; mails that have come in."""

    def __init__(self):
        self.store, self.clock = MemoryStore(), FakeClock()
        self.clerk = Clerk(config=CONFIG, clock=self.clock, places=dotted)
        self.doorman = build_doorman(CONFIG, clock=self.clock)
        self.reader = build_reader(CONFIG, self.doorman)
        self.count = 0

    async def take(self, content, to):
        """Let a mail come in."""
        self.count += 1
        received = ReceivedMail(
            id=f"M{self.count}", sender="n@example.org", recipients=(self.doorman.recipient(to, HERE),),
            content=content, client=HERE, received_at=self.clock.now(),
        )  # fmt: skip
        await self.store.put(self.reader.read(received)[0])

    async def explain(self, content, to, *, store=True):
        """Return result, words and place of the one step about waiting."""
        told = await self.clerk.explain(
            self.store if store else None, content, [to], sender="n@example.org", client=HERE
        )  # fmt: skip
        [step] = [step for step in told.steps if step.stage in {"digest", "quiet hours"}]
        return step.result, step.because, step.config


async def test_quiet_hours_say_until_when_and_with_how_many():
    """By the name that holds; a severity that breaks through goes on to the digest."""
    office = Office()
    until = f"{(office.clock.now() + timedelta(hours=1)).astimezone():%Y-%m-%d %H:%M %Z}"
    place = "quiet_hours.night"
    assert await office.explain(WARNING, ANNA) == ("waits", f"night until {until}: it waits, alone so far", place)
    await office.take(OTHER, ANNA)
    assert (await office.explain(WARNING, ANNA))[1] == f"night until {until}: it waits, with 1 other in one message"
    assert (await office.explain(NAGIOS, ANNA))[0] == "at once"
    # a question changes nothing
    assert (await office.explain(WARNING, ANNA))[1].endswith("with 1 other in one message")


async def test_a_digest_says_what_it_gathers_with_what_and_until_when():
    """Alone, in a storm, as a repeat, and what passes; by the rule or the default that gathers."""
    office = Office()
    place = "digest.default"
    quiet = "nothing waits; what follows within 5 min becomes one message"
    assert await office.explain(WARNING, BORIS) == ("at once", quiet, place)
    await office.take(WARNING, BORIS)
    until = f"{(office.clock.now() + timedelta(minutes=5)).astimezone():%Y-%m-%d %H:%M %Z}"
    storm = f"a storm is under way: told at {until}, alone so far"
    assert await office.explain(OTHER, BORIS) == ("waits", storm, place)
    await office.take(OTHER, BORIS)
    result, words, _ = await office.explain(WARNING, BORIS)
    assert result == "waits"
    assert words.startswith(
        "db-prod-2/Disk Space was told before: counted, and told with the next that is new, after 4 h"
    )
    assert words.endswith(f"next look {until}, with 1 other in one message")
    assert (await office.explain(NAGIOS, BORIS))[:2] == (
        "at once", "critical passes; what follows within 5 min becomes one message"
    )  # fmt: skip
    toner = b"Subject: toner is low\r\n\r\nblack"
    assert await office.explain(toner, BORIS) == (
        "at once", "nothing waits; what follows within 1 h becomes one message", "rules[0]"
    )  # fmt: skip


async def test_without_a_queue_it_says_what_may_be():
    """Quiet hours are known from the configuration, a storm is not."""
    office = Office()
    assert (await office.explain(WARNING, ANNA, store=False))[0] == "waits"
    result, words, _ = await office.explain(WARNING, BORIS, store=False)
    assert (result, words) == ("may wait", "where something came before it within 5 min it is told with that")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_the_whole_path_of_every_devices_mail_is_told(path):
    """Who knew it, each way to write it with its parts, and what a storm would do to it; ``preview`` says the same."""
    office = Office()
    told = await office.clerk.explain(office.store, path.read_bytes(), [BORIS], sender="n@example.org", client=HERE)
    assert told.verdict == "accepted"
    steps = {step.stage: step for step in told.steps if step.result != "could be"}
    assert steps["profile"].result == path.parent.name
    assert steps["digest"].result == "at once"
    is_code = path.parent.name == "fortigate-otp"
    assert (steps["digest"].because == "a one-time code waits for nobody") is is_code
    [foretold] = office.clerk.preview(path.read_bytes(), [BORIS], sender="n@example.org", client=HERE)
    assert foretold_json(foretold)["waits"].startswith("digest: ")
    ways = [step.because.partition(":")[0] for step in told.steps if step.result == "could be"]
    names = [way.name for way in foretold.candidates]
    assert ways == (names if len(names) > 1 else [])


async def test_nothing_is_said_where_nothing_can_wait():
    """No step, and null in the JSON."""
    plain = Config.model_validate({"gateways": {"main": {"login": "x", "password": "x"}}})
    clerk = Clerk(config=plain, clock=FakeClock())
    told = await clerk.explain(MemoryStore(), NAGIOS, [BORIS], sender="n@example.org", client=HERE)
    assert not {step.stage for step in told.steps} & {"digest", "quiet hours"}
    [foretold] = clerk.preview(NAGIOS, [BORIS], sender="n@example.org", client=HERE)
    assert foretold_json(foretold)["waits"] is None

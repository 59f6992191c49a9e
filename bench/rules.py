"""What profiles and rules add to a mail: microseconds for recognising one, and with 200 rules.

    python bench/rules.py

Prints processor time on this machine, each over many mails of tests/data.
"""

import time
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mailbridge.config.model import MessageDefaults
from mailbridge.config.model_rules import Rule
from mailbridge.intake.compose import Composer
from mailbridge.intake.parse import parse_mail
from mailbridge.model.mail import Client, Mail, Recipient
from mailbridge.model.phone import Phone
from mailbridge.planner import Planner
from mailbridge.profiles.load import load_profiles
from mailbridge.profiles.reader import Profiles
from mailbridge.rules.engine import Rules

DATA = Path(__file__).parent.parent / "tests" / "data"
RECIPIENT = Recipient(address="79991234567@sms.local", channel="sms", phone=Phone("+79991234567"))
NOW = datetime(2026, 1, 14, 9, 30, tzinfo=UTC)


def two_hundred() -> Rules:
    """Return rules as a large site may have them, none of which fits: all are asked."""
    kinds = [
        lambda n: {"from": f"host{n}@*.example.net"},
        lambda n: {"subject": f"*line {n} *", "days": "mon-fri"},
        lambda n: {"subject": f"re:(?i)rack {n}\\b.*(fan|psu)"},
        lambda n: {"network": f"10.{n}.0.0/16", "time": "22:00-08:00"},
        lambda n: {"text": f"*serial {n}*"},
        lambda n: {"profile": "nagios", "severity": "critical", "subject": f"re:db{n}/"},
        lambda n: {"recipient": f"7999{n:07}@*"},
        lambda n: {"text": f"re:(?i)disk {n} (failed|lost)"},
        lambda n: {"header": {"X-Priority": f"{n}*"}},
        lambda n: {"user": f"user{n}"},
    ]
    return Rules([Rule.model_validate({"match": kinds[n % len(kinds)](n), "action": "drop"}) for n in range(200)])


def planner(profiles: Profiles, rules: Rules) -> Planner:
    """Return a planner whose rules name nobody else."""
    return Planner(
        composer=Composer(MessageDefaults()), profiles=profiles, rules=rules, resolve=lambda _word, _client: ()
    )


def microseconds(call, mails) -> float:
    """Return the best of seven rounds over all mails, for one mail, in processor time."""
    rounds = timeit.repeat(lambda: [call(mail) for mail in mails], timer=time.process_time, number=5, repeat=7)
    return min(rounds) / 5 / len(mails) * 1e6


def plan(chosen: Planner) -> Callable[[Mail], object]:
    """Return what makes messages of a mail."""
    client = Client(address="192.0.2.1")
    return lambda mail: chosen.plan(mail, [RECIPIENT], sender="a@example.org", client=client, now=NOW)


def intake(chosen: Planner) -> Callable[[bytes], object]:
    """Return what makes messages of a mail's bytes."""
    planned = plan(chosen)
    return lambda content: planned(parse_mail(content))


def main() -> None:
    contents = [path.read_bytes() for path in sorted(DATA.glob("emails/*.eml"))]
    of_devices = [path.read_bytes() for path in sorted(DATA.glob("profiles/*/*.eml"))]
    devices = [parse_mail(content) for content in of_devices]
    profiles = load_profiles()
    unknown = [mail for mail in map(parse_mail, contents) if not profiles.read(mail).short]
    known = [mail for mail in devices if profiles.read(mail).short]
    plain, ruled = planner(profiles, Rules([])), planner(profiles, two_hundred())

    for words, call, mails in (
        ("recognising a mail no profile knows", profiles.read, unknown),
        ("recognising and reading a device's mail", profiles.read, known),
        ("composing without profiles", plan(planner(Profiles(()), Rules([]))), unknown),
        ("profiles and composing, no rules", plan(plain), unknown),
        ("profiles, 200 rules and composing", plan(ruled), unknown + known),
        ("the whole intake: parse, profiles, 200 rules, composing", intake(ruled), contents + of_devices),
    ):
        print(f"{microseconds(call, mails):8.1f} us  {words} ({len(mails)} mails)")


if __name__ == "__main__":
    main()

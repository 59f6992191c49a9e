"""What stands before the queue, built from the configuration: who decides about addresses, and who reads the mails.

``app`` builds it in its own process, and each worker (``smtp.workers``) in its. Nothing here knows the queue's store,
delivery or a gateway, and so a worker does not load them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mailbridge.clock import Clock, SystemClock
from mailbridge.config.model import Config
from mailbridge.escalation.chains import Chains
from mailbridge.intake.address import Addresses, quote_local
from mailbridge.intake.compose import Composer
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.intake.parse import parse_mail
from mailbridge.intake.rights import read_rights
from mailbridge.limiter import read_limits
from mailbridge.model.alert import Decision
from mailbridge.model.ids import new_mail_id
from mailbridge.model.mail import Client, Mail, ReceivedMail, Recipient
from mailbridge.model.reading import CODE, UNREAD
from mailbridge.people.directory import Directory
from mailbridge.people.handling import Handling
from mailbridge.people.rota import Calendar
from mailbridge.planner import Planned, Planner, alert_of
from mailbridge.profiles.load import load_profiles
from mailbridge.queue.contract import NewMail
from mailbridge.queue.kept import Gather
from mailbridge.reception import Gathers, Reader, Settings, prepare
from mailbridge.report.policy import is_reportable
from mailbridge.rules.engine import Action, Rules


def build_doorman(
    config: Config, *, calendars: Mapping[str, Calendar] | None = None, clock: Clock | None = None
) -> Addresses:
    """Return who decides about addresses, as *config* has it; *calendars* are those of its rotas."""
    directory, now = Directory(config, calendars or {}), (clock or SystemClock()).now
    return Addresses(
        domains=config.smtp.domains,
        numbers=NumberPolicy(config.numbers),
        aliases=(lambda name: directory.find(name, now())) if directory else None,
        rights=read_rights(config.users, config.numbers),
    )


def address_of(config: Config, word: str) -> str:
    """Return the address that a number or name of the configuration stands for; an address is its own."""
    domain = next((name for name, channel in config.smtp.domains.items() if channel == "sms"), "")
    return word if "@" in word else f"{quote_local(word)}@{domain}"


#: what was decided about one message, as far as it may have to wait
Decide = Callable[[Mail, Planned], Decision]


def build_gathers(config: Config, decide: Decide | None = None) -> Gathers | None:
    """Return what says whether a message may have to wait; None where nothing in *config* lets any.

    *decide* stands in for what rules and device profiles say.
    """
    handling = Handling(config)
    if not handling:
        return None

    def decided(mail: Mail, planned: Planned) -> Decision:
        said = planned.decision
        digest = handling.digest_of(said.digest) if said.action is Action.DIGEST else None
        return Decision(rule=said.rule, digest=digest, quiet=said.quiet, alert=alert_of(planned.reading, mail))

    def gather(mail: Mail, planned: Planned, now: datetime) -> Gather | None:
        # somebody stands before a login and waits for a code: no storm and no night is a reason to
        if planned.decision.action in {Action.HOLD, Action.DROP} or planned.reading.event == CODE:
            return None
        return handling.gather((decide or decided)(mail, planned), planned.recipient, planned.bare, now)

    return gather


def build_planner(config: Config, doorman: Addresses) -> Planner:
    """Return who decides what becomes of a mail, as *config* has it. Raises ConfigError for bad profiles."""

    def resolve(word: str, client: Client) -> Sequence[Recipient]:
        # what a rule says is the configuration's own word: no user's rights hold for it
        return doorman.recipient(address_of(config, word), replace(client, user=None)).each()

    return Planner(
        composer=Composer(config.message), profiles=load_profiles(config.profiles), rules=Rules(config.rules),
        resolve=resolve, profile=config.message.profile, rights=read_rights(config.users, config.numbers),
        chains=Chains(config, Directory(config, {})),
    )  # fmt: skip


def build_intake_settings(config: Config, node: str | None = None) -> Settings:
    """Return what the reception of *node*, one of several, needs of *config*."""
    return Settings(
        verdict=config.smtp.reply == "verdict",
        verdict_wait_s=config.smtp.verdict_wait,
        lifetime_s=config.queue.lifetime,
        keep_original_bytes=config.queue.keep_original,
        node=node,
        rates=read_limits(config).door,
        apart=users_apart(config),
    )


def users_apart(config: Config) -> frozenset[str]:
    """Return the users with a budget or gateways of their own."""
    return frozenset(user.name for user in config.users if user.budget is not None or user.gateways is not None)


def read_preferences(config: Config) -> dict[str, list[str]]:
    """Return the gateways of users who may not take any of them, the best first."""
    return {user.name: user.gateways for user in config.users if user.gateways is not None}


def build_reader(config: Config, doorman: Addresses) -> Reader:
    """Return who makes of a mail what is to be stored, as *config* has it; *doorman* knows whom its rules name.

    Raises: ConfigError for bad profiles.
    """

    def reportable(sender: str, mail: Mail) -> bool:
        return is_reportable(sender, mail, bounce_from=config.bounce.from_)

    return Reader(
        settings=build_intake_settings(config),
        parse=parse_mail,
        plan=build_planner(config, doorman).plan_received,
        is_reportable=reportable,
        gathers=build_gathers(config),
    )


def prepare_text(
    config: Config, options: Sequence[tuple[str, str]], recipients: Sequence[Recipient], *, text: str, client: Client,
    now: datetime, id_: str | None = None,
) -> NewMail:  # fmt: skip
    """Return what is to be stored for *text* sent without a mail, by a verb, the API or the desk.

    *options*: what is asked for, as header fields of a mail. Raises: Rejected.
    """
    mail = Mail(subject="", body=text, from_address="", from_name="", to="", message_id="", headers=tuple(options))
    received = ReceivedMail(
        id=id_ or new_mail_id(now.timestamp()),
        sender="",
        recipients=tuple(recipients),
        content=b"",
        client=client,
        received_at=now,
    )
    each = [one for recipient in recipients for one in recipient.each()]
    messages = Composer(config.message).compose_all(mail, each, now)
    planned = [
        Planned(message=message, recipient=one, reading=UNREAD) for message, one in zip(messages, each, strict=True)
    ]
    settings = build_intake_settings(config)
    return prepare(received, mail, planned, settings=settings, reportable=False, is_repeatable=True)

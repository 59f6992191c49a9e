"""What stands before the queue, built from the configuration: who decides about addresses, and who reads the mails.

``app`` builds it in its own process, and each worker (``smtp.workers``) in its. Nothing here knows the queue's store,
delivery or a gateway, and so a worker does not load them.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailbridge.clock import Clock, SystemClock
from mailbridge.config.model import Config
from mailbridge.intake.address import Addresses
from mailbridge.intake.compose import Composer
from mailbridge.intake.numbers import NumberPolicy
from mailbridge.intake.parse import parse_mail
from mailbridge.limiter import read_limits
from mailbridge.model.mail import Mail
from mailbridge.people.directory import Directory
from mailbridge.people.rota import Calendar
from mailbridge.reception import Reader, Settings
from mailbridge.report.policy import is_reportable


def build_doorman(
    config: Config, *, calendars: Mapping[str, Calendar] | None = None, clock: Clock | None = None
) -> Addresses:
    """Return who decides about addresses, as *config* has it; *calendars* are those of its rotas."""
    directory, now = Directory(config, calendars or {}), (clock or SystemClock()).now
    return Addresses(
        domains=config.smtp.domains,
        numbers=NumberPolicy(config.numbers),
        aliases=(lambda name: directory.find(name, now())) if directory else None,
    )


def build_intake_settings(config: Config, node: str | None = None) -> Settings:
    """Return what the reception of *node*, one of several, needs of *config*."""
    return Settings(
        verdict=config.smtp.reply == "verdict",
        verdict_wait_s=config.smtp.verdict_wait,
        lifetime_s=config.queue.lifetime,
        keep_original_bytes=config.queue.keep_original,
        node=node,
        rates=read_limits(config.limits).door,
    )


def build_reader(config: Config) -> Reader:
    """Return who makes of a mail what is to be stored, as *config* has it."""

    def reportable(sender: str, mail: Mail) -> bool:
        return is_reportable(sender, mail, bounce_from=config.bounce.from_)

    return Reader(
        settings=build_intake_settings(config),
        parse=parse_mail,
        compose=Composer(config.message).compose_all,
        is_reportable=reportable,
    )

"""The part of the typed model that is about being heard: who is told next, and what comes in.

Part of ``model.py``, and held to the same.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from mailbridge.config.sections import DAY, Duration, Section, Words, Zone


class ChainStep(Section):
    """One step of a chain: whom the alert goes to next, and how. One of the two keys."""

    call: Words = Field(default=[], description="Who is called; a voice reads the text out.")
    send: Words = Field(default=[], description="Who gets the text as an SMS.")


class Chain(Section):
    """An alert that somebody has to answer. It holds for mail to the person, alias or rota of the same name."""

    after: Duration = Field(
        default=300.0, ge=1, le=7 * DAY, description="How long each step waits for an answer before the next."
    )
    unless: Words = Field(
        default=["acknowledged"],
        description="What must have happened for the chain to end: `acknowledged`, by SMS or by `mailbridge ack`; "
        "`delivered` alone is content once a phone has it. Where both stand, both must: delivered is not enough.",
    )
    then: list[ChainStep] = Field(
        default=[],
        description="The steps, in order: `{call: oncall}` or `{send: admins}`; people, aliases, rotas or numbers.",
    )
    answer: str = Field(
        default="Reply OK {number}",
        description="Last line of the text. `{number}` is what an answer names, four digits.",
    )


class Inbound(Section):
    """SMS that come in: answers to alerts."""

    poll: Annotated[Duration, Field(ge=0, le=DAY)] | None = Field(
        default=None,
        description="How often a gateway without `callback_path` is asked for them. 0: never. "
        "Left out: `1m` where there is an `escalation`, else never.",
    )


class SelfTest(Section):
    """An SMS by the calendar that says that all is well: `gateway OK, 812 RUB, 14 sent this week`."""

    to: Words = Field(default=[], description="Who gets it: people, aliases, numbers. Empty: nobody.")
    days: str = Field(default="mon", description="The weekdays, `mon` or `mon-fri` or `sat, sun`.")
    time: str = Field(default="09:00", description="The time of day.")
    timezone: Zone = Field(default="", description="Such as `Europe/Moscow`. Empty: the machine's own.")


class Heartbeat(Section):
    """A sign of life to somebody outside, who raises the alarm when it stays away (a dead man's switch)."""

    url: SecretStr | None = Field(
        default=None,
        description="Asked by GET while messages can leave: the queue moves, and a gateway takes them. "
        "`http://` is for loopback and private addresses.",
    )
    every: Duration = Field(default=60.0, ge=1, le=DAY, description="How often.")
    timeout: Duration = Field(default=10.0, ge=0.1, le=60, description="Longest time of one request.")

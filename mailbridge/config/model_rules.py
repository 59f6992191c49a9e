"""The part of the typed model that says which mails rules look for, and what is done with them.

Part of ``model.py``, and held to the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mailbridge.config.model_people import Digest
from mailbridge.config.sections import DAY, Duration, Patterns, Section, Words


class Match(Section):
    """What a rule looks at. All that is written must hold; of several patterns any one is enough.

    A pattern is a glob for the whole value in any case (`*`, `?`), or RE2 after `re:`, found anywhere in it.
    """

    # ``from`` is a Python keyword
    from_: Patterns | None = Field(
        default=None, alias="from", description="The sender: of the envelope, or of the mail's From."
    )
    recipient: Patterns | None = Field(
        default=None, description="The recipient's address as given, without its options, or its number `+7…`."
    )
    subject: Patterns | None = Field(default=None, description="The subject.")
    text: Patterns | None = Field(default=None, description='The text a person would read: `"*disk*"`.')
    header: dict[str, Patterns] | None = Field(
        default=None, description='Header fields by name: `{X-Priority: "1*"}`. One that is missing fits nothing.'
    )
    network: Words | None = Field(default=None, description="The client's network or address; also `unix`, `local`.")
    user: Patterns | None = Field(default=None, description="The name the client signed in with.")
    time: Words | None = Field(default=None, description="Times of day, `22:00-08:00`.")
    days: Words | None = Field(default=None, description="Days of the week, `mon-fri` or `sat, sun`.")
    profile: Words | None = Field(default=None, description="The device profile that understood the mail.")
    severity: Words | None = Field(
        default=None, description="What a profile found: `critical`, `warning`, `info`, `ok`, `unknown`."
    )
    event: Words | None = Field(
        default=None, description="What a profile found: `problem`, `recovery` and other words of devices."
    )


class RuleSettings(Section):
    """What a rule says of a message, unless its mail says otherwise."""

    text: str | None = Field(default=None, description="Template, as `message.text`.")
    sender: str | None = Field(default=None, description="Sender name.")
    translit: Literal["0", "1", "2", "auto"] | None = Field(default=None, description="As `message.translit`.")
    fit: Literal["faithful", "folded", "cheapest"] | None = Field(default=None, description="As `message.fit`.")
    profile: str | None = Field(default=None, description="As `message.profile`.")
    max_parts: int | None = Field(default=None, ge=1, le=20, description="As `message.max_parts`.")
    channel: str | None = Field(default=None, description="`sms` or `flash`.")
    flash: bool | None = Field(default=None, description="Shown at once, not kept by the phone.")
    time: str | None = Field(
        default=None, description="When to send: `+30` minutes from now, or `9-21`, the hours of the day."
    )
    valid: str | None = Field(default=None, description="How long the operator tries, `2h` or `1:30`.")
    lifetime: Annotated[Duration, Field(ge=0.1, le=30 * DAY)] | None = Field(
        default=None, description="How long delivery is tried, as `queue.lifetime`."
    )
    gateway: str | None = Field(default=None, description="The gateway to send through.")


class Rule(Section):
    """One rule; the first that fits a recipient's mail decides, unless it says `continue: true`."""

    name: str = Field(
        default="", max_length=60, description="Shown in the log, the history and `explain`. Empty: its number."
    )
    match: Match = Field(default=Match(), description="What must hold. Left out: every mail fits.")
    # ``set`` is the name of a type
    set_: RuleSettings = Field(default=RuleSettings(), alias="set", description="Options of the message.")
    to: Words | None = Field(
        default=None,
        description="Recipients instead of the one given: numbers, addresses, names. `+oncall` adds one.",
    )
    action: Literal["send", "drop", "hold", "digest"] | None = Field(
        default=None,
        description="`drop` keeps it in the history alone, `hold` waits for a person, `digest` gathers. "
        "Left out: `digest` where that key is written, else `send`, or what a rule before it said.",
    )
    digest: Digest | None = Field(
        default=None, description="How `action: digest` gathers, for each recipient. Left out: as `digest.default`."
    )
    quiet: Words = Field(
        default=[], description="Names of `quiet_hours` that hold for these mails, beside those of their recipients."
    )
    escalation: str = Field(
        default="", description="The `escalation` of these mails; `off` for none. Empty: that of their recipients."
    )
    # ``continue`` is a Python keyword
    continue_: bool = Field(default=False, alias="continue", description="Go on to the rules that follow.")
    timezone: str = Field(
        default="", description="Zone of `time` and `days`, such as `Europe/Moscow`. Empty: the machine's own."
    )

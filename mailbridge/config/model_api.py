"""The part of the typed model that says which programs may ask, and which are told.

Part of ``model.py``, and held to the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from mailbridge.config.sections import SECRET_URL, Duration, Section, split_words

#: what a line of a message's history can be called (docs/reference/log.md)
EVENTS = (
    "queued", "held", "suppressed", "attempt", "sent", "deferred", "refused", "failed", "unknown", "delivered",
    "undelivered", "expired", "cancelled", "bounced",
)  # fmt: skip
Event = Literal[
    "queued", "held", "suppressed", "attempt", "sent", "deferred", "refused", "failed", "unknown", "delivered",
    "undelivered", "expired", "cancelled", "bounced",
]  # fmt: skip
Scope = Literal["read", "send", "operate"]


class Token(Section):
    """A program that may ask."""

    name: str = Field(min_length=1, max_length=64, description="Its name in histories and logs.")
    token: SecretStr = Field(
        description="The argon2id hash of its token, as `mailbridge hash-password` prints it. "
        "Let the token be long and random: `openssl rand -hex 32`."
    )
    scopes: Annotated[list[Scope], BeforeValidator(split_words)] = Field(
        default=["read"],
        description="`read` looks, `send` sends texts, `operate` also retries, holds, releases, cancels and resends.",
    )


class Webhook(Section):
    """An address that is told what happens to messages."""

    url: str = Field(
        repr=False, json_schema_extra=SECRET_URL, description="Where to: `https://`, or `http://` to a private address."
    )
    events: Annotated[list[Event], BeforeValidator(split_words)] = Field(
        default=[], description="What is told of, by the names of the log's events. Empty: everything."
    )
    secret: SecretStr = Field(description="Signs what is sent, so that the receiver knows it is from here.")
    timeout: Duration = Field(default=10.0, ge=0.1, le=60, description="How long an answer is waited for.")
    lifetime: Duration = Field(
        default=86400.0, ge=1, le=30 * 86400, description="How long an event is tried; then the next one's turn comes."
    )


class Api(Section):
    """The JSON API. Without tokens there is none."""

    tokens: list[Token] = Field(default=[], description="Who may ask.")
    webhooks: list[Webhook] = Field(default=[], description="Who is told.")

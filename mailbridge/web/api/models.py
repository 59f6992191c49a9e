"""What goes into the API and what comes out, as models: they check what comes in and describe both.

Keys are those of docs/reference/json.md. What goes out is made by ``admin``, ``clerk`` and ``stats``; tests hold it to
these models.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mailbridge.config.model_api import Event
from mailbridge.model.message import Alphabet
from mailbridge.model.outcome import ErrorClass
from mailbridge.model.state import State

_WORD = Annotated[str, Field(min_length=1, max_length=512)]


class In(BaseModel):
    """What is asked: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Out(BaseModel):
    """What is answered: more keys may come."""

    model_config = ConfigDict(extra="allow", frozen=True)


# ---------------------------------------------------------------------------------------------- questions
def _with_commas(value: object) -> object:
    return [word for item in value for word in str(item).split(",")] if isinstance(value, list) else value


class ListQuery(In):
    """Which messages to list, newest first."""

    state: Annotated[list[State], BeforeValidator(_with_commas)] | None = Field(
        default=None, description="In one of these states; repeated, or with commas."
    )
    phone: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="To this number, in any spelling."
    )
    sender: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="From this sender: a glob on the envelope's or the SMS's, `nagios@*`."
    )
    q: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="With this in the text or the mail's subject, in any case."
    )
    since: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None, description="From this time on: RFC 3339, a day, or an age such as `2h`."
    )
    until: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None, description="Before this time, written like `since`."
    )
    limit: int = Field(default=50, ge=1, le=500, description="Most messages on the page.")
    cursor: Annotated[str, Field(min_length=1, max_length=40)] | None = Field(
        default=None, description="`next` of the page before."
    )


class MailQuery(In):
    """From whom and for whom a mail in the body is."""

    to: list[Annotated[str, Field(min_length=1, max_length=320)]] = Field(
        min_length=1, max_length=20, description="Recipient address; repeated for several."
    )
    from_: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, alias="from", description="Envelope sender; left out: the mail's From."
    )
    client: str = Field(default="127.0.0.1", max_length=64, description="The client's address.")
    user: Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="The name the client signed in with."
    )


class MailQuestion(MailQuery):
    """A mail, with from whom and for whom it is."""

    mail: str = Field(max_length=10_000_000, description="The mail as it would be sent: header, empty line, body.")


class NewOrder(In):
    """A text to send."""

    to: list[_WORD] = Field(
        min_length=1, max_length=100, description="Phones in any spelling, or names of `people` and `aliases`."
    )
    text: str = Field(min_length=1, max_length=10_000, description="The text.")
    sender: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="Sender name; left out: the configured one."
    )
    translit: Literal["0", "1", "2", "auto", 0, 1, 2] | None = Field(
        default=None, description="Transliteration, as in the configuration."
    )
    time: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="When: RFC 3339, or one of the gateway's forms."
    )
    max_parts: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Longest SMS in parts; a longer text is cut."
    )


class BalanceQuery(In):
    """Whose money."""

    gateway: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="Its name in the configuration; left out: the first one."
    )


class StatsQuery(In):
    """Which sums."""

    by: Literal["hour", "day"] = Field(default="hour", description="The width of a bucket; a day is a local one.")
    since: str = Field(default="1d", min_length=1, max_length=40, description="From when on, as for messages.")


class OncallQuery(In):
    """Whose duty."""

    alias: list[Annotated[str, Field(max_length=128)]] = Field(
        default=[], max_length=50, description="Rota, or an alias of one; left out: all rotas."
    )
    days: int = Field(default=14, ge=1, le=366, description="How far to look ahead.")


class EventsQuery(In):
    """Which events."""

    event: Annotated[list[Event], BeforeValidator(_with_commas)] = Field(
        default=[], max_length=20, description="Only these, repeated or with commas; left out: all."
    )


class NoQuery(In):
    """Nothing is asked."""


# ------------------------------------------------------------------------------------------------ answers
class MessageError(Out):
    """A gateway's last words, or ours."""

    code: str
    text: str
    class_: ErrorClass = Field(alias="class")


class Message(Out):
    """A message."""

    id: str
    mail: str
    phone: str
    channel: str
    sender: str
    text: str
    translit: int
    parts: int
    alphabet: Alphabet
    state: State
    attempts: int
    gateway: str | None
    gateway_id: str | None
    price: str | None
    currency: str | None
    error: MessageError | None
    rule: str | None
    profile: str | None
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    expires_at: datetime


class HistoryLine(Out):
    """One line of a message's history."""

    at: datetime
    event: str
    state: State
    detail: dict[str, Any]


class MessageWithHistory(Message):
    """A message with its history and what is known of its mail."""

    history: list[HistoryLine]
    gateway_ids: list[str]
    mail_from: str | None = None
    subject: str | None = None
    message_id: str | None = None
    client: str | None = None
    received_at: datetime | None = None


class MessagePage(Out):
    """Some messages, newest first."""

    items: list[Message]
    next: str | None = Field(
        description="`cursor` of the next page; null: this is the last one. A page may have fewer messages than asked "
        "for, or none, and still a next one: a search looks back some way at a time."
    )


class Candidate(Out):
    """One way to write a text."""

    name: str
    text: str
    alphabet: Alphabet
    parts: int


class Foretold(Out):
    """A message as it would be."""

    phone: str
    channel: str
    sender: str
    text: str
    translit: int
    alphabet: Alphabet
    parts: int
    rule: str | None
    profile: str | None
    action: str
    recipient: str
    notes: list[str]
    flash: bool
    time: str
    valid: str
    candidates: list[Candidate]


class Preview(Out):
    """What would be sent."""

    messages: list[Foretold]


class ExplainedStep(Out):
    """One look at a mail."""

    stage: str
    result: str
    because: str
    config: str


class Explained(Out):
    """Why a mail is taken or not."""

    verdict: Literal["accepted", "refused"]
    reply: str
    steps: list[ExplainedStep]


class Spent(Out):
    """Money."""

    amount: str
    currency: str | None


class SpentOn(Spent):
    """Money, and what it went for."""

    messages: int
    parts: int


class Spending(Out):
    """What a gateway took, one entry for each currency."""

    today: list[SpentOn]
    month: list[SpentOn]


class GatewayState(Out):
    """A gateway's state."""

    name: str
    state: Literal["up", "suspended"]
    by_hand: bool
    on_trial: bool
    code: str
    reason: str
    since: datetime | None
    probe_at: datetime | None
    probes: int


class Gateway(GatewayState):
    """A gateway."""

    type: str
    callback: str | None = Field(description="The path of its callback page, for a token that may operate.")
    spend: Spending


class Balance(Out):
    """Money left."""

    gateway: str
    balance: str
    currency: str
    credit: str | None = None


class Percentiles(Out):
    """Seconds that so many in a hundred stayed within; null where there were none."""

    p50: float | None
    p95: float | None
    p99: float | None


class StatsBucket(Out):
    """What came in within an hour or a day."""

    at: datetime
    messages: dict[State, int]
    parts: dict[State, int]
    spend: list[Spent]
    handed_over_s: Percentiles = Field(description="From coming in to the newest attempt.")
    arrived_s: Percentiles = Field(description="From coming in to the handset.")


class Stats(Out):
    """Sums over time, oldest first."""

    by: Literal["hour", "day"]
    since: datetime
    until: datetime
    buckets: list[StatsBucket]


class Shift(Out):
    """A turn of duty."""

    from_: datetime = Field(alias="from")
    to: datetime
    who: list[str]


class Roster(Out):
    """Who is on duty."""

    rota: str
    aliases: list[str]
    now: list[str]
    phones: list[str]
    shifts: list[Shift]


class Trouble(Out):
    """One thing that is wrong with a request."""

    at: str = Field(description="Where: `query.limit`, `body.to.0`.")
    detail: str


class Problem(Out):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Trouble] | None = None
    reply: str | None = Field(default=None, description="What an SMTP client would have been told.")

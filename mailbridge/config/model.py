"""The one typed model of the configuration; the example file, the JSON Schema and the reference page come from it.

Field names are the keys that docs/reference/configuration.md lists.
Durations are seconds (``Duration``, a float) and sizes are bytes (``Size``, an int) once loaded.
Here stands what a single key may hold; what keys mean together is ``check.py``'s business.
It must not read files or the environment.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from mailbridge.config.model_alarms import Chain, Heartbeat, Inbound, SelfTest
from mailbridge.config.model_api import Api
from mailbridge.config.model_gateways import Gateway as Gateway  # noqa: PLC0414 - part of the model
from mailbridge.config.model_gateways import Route as Route  # noqa: PLC0414 - as above
from mailbridge.config.model_gateways import SmscGateway as SmscGateway  # noqa: PLC0414 - as above
from mailbridge.config.model_people import Alias, Digests, Person, QuietHours, Rota
from mailbridge.config.model_rules import Rule
from mailbridge.config.sections import (
    DAY,
    SECRET_URL,
    Duration,
    Money,
    Percent,
    Rates,
    Section,
    Size,
    Words,
    Zone,
    lower_keys,
    off,
    upper,
)


class Listener(Section):
    """One address the door listens on."""

    address: str = Field(default="127.0.0.1:2525", description="`host:port`, `[v6]:port` or `unix:/path/to/socket`.")
    protocol: Literal["smtp", "lmtp"] = Field(default="smtp", description="LMTP answers for each recipient on its own.")
    tls: Literal["off", "starttls", "required", "implicit"] = Field(
        default="off",
        description="`starttls` offers it, `required` takes mail only after it, `implicit` is TLS from the first byte.",
    )
    certificate: str | None = Field(
        default=None, description="PEM file with the certificate and its chain, where `tls` is not `off`."
    )
    private_key: str | None = Field(
        default=None, description="PEM file with the certificate's private key, where `tls` is not `off`."
    )
    allow: Words = Field(
        default=["127.0.0.0/8", "::1"], description="Networks and addresses of the clients that may send here."
    )
    auth: Literal["off", "optional", "required"] = Field(
        default="off",
        description="Whether clients may or must sign in as one of `users`. "
        "Needs TLS, loopback clients alone, or `auth_without_tls`.",
    )
    auth_without_tls: bool = Field(
        default=False, description="Lets clients sign in without TLS: their passwords travel readable by all."
    )
    proxies: Words = Field(
        default=[],
        description="Addresses of proxies that begin each connection with a PROXY header (v1 or v2). "
        "`allow` then looks at the client the header names. Nobody else's header is believed.",
    )
    legacy: bool = Field(
        default=False,
        description="For old devices: TLS 1.0, bare LF, no angle brackets and more, see docs/howto/old-devices.md.",
    )
    any_login: bool = Field(
        default=False,
        description="With `legacy`: whoever signs in with a name or password we do not know is nobody, and may send.",
    )


class Smtp(Section):
    """The door: where mail comes in."""

    hostname: str = Field(
        default="", description="Our name in greetings and trace lines. Empty: the machine's own name."
    )
    listen: list[Listener] = Field(default=[Listener()], description="The addresses to listen on.")
    domains: Annotated[dict[str, str], BeforeValidator(lower_keys)] = Field(
        default={"sms.local": "sms"},
        description="Recipient domain and the channel its mail takes. `sms` is the one there is.",
    )
    reply: Literal["verdict", "queued"] = Field(
        default="verdict",
        description="`verdict` waits for the gateway before answering DATA, `queued` answers at once.",
    )
    verdict_wait: Duration = Field(
        default=10.0, ge=0, le=300, description="How long `reply: verdict` waits for the gateway."
    )
    max_message_size: Size = Field(default=10_000_000, ge=100, le=100_000_000, description="Largest mail taken.")
    max_recipients: int = Field(default=100, ge=1, le=10_000, description="Most recipients of one mail.")
    max_connections: int = Field(default=1000, ge=1, le=100_000, description="Most sessions at a time.")
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes of their own for sessions and reading, 47 MB each; no more than cores but one. "
        "0: none, all in one process.",
    )
    timeout: Duration = Field(
        default=300.0, ge=0.1, le=3600, description="How long a session may idle between commands."
    )
    data_timeout: Duration = Field(default=600.0, ge=0.1, le=7200, description="Longest time from DATA to its end.")
    auth_failures: int = Field(
        default=10, ge=1, le=1000, description="Wrong passwords from one address, over all sessions, that ban it."
    )
    auth_ban: Duration = Field(
        default=600.0,
        ge=0,
        le=DAY,
        description="How long a banned address may not sign in, and how far back wrong passwords count. 0: never.",
    )
    max_hops: int = Field(
        default=50, ge=1, le=1000, description="Most `Received` header fields; more is taken for a loop."
    )


class Numbers(Section):
    """How numbers are read and which are allowed."""

    region: Annotated[str, BeforeValidator(upper)] = Field(
        default="RU", description="Country by which national numbers such as 8 (999) 123-45-67 are read."
    )
    allow: Annotated[Words | None, BeforeValidator(upper)] = Field(
        default=None,
        description="Prefixes (`+7`) or countries (`KZ`) that may be sent to. Left out: the region's country.",
    )


class MessageDefaults(Section):
    """What an SMS looks like unless the mail says otherwise."""

    text: str = Field(default="{{ subject }}: {{ body }}", description="Jinja2 template of the text.")
    sender: str = Field(default="", description="Default sender name. Empty: the account's own default.")
    translit: Literal["0", "1", "2", "auto"] = Field(
        default="0", description="Transliteration: 0, 1 or 2 as the gateway has it, or `auto`."
    )
    fit: Literal["faithful", "folded", "cheapest"] | None = Field(
        default=None,
        description="How far a text may be changed to save parts: `faithful` not at all, `folded` its typography "
        "(quotes, dashes, ё, №), `cheapest` also its letters and words (`critical` becomes `crit`). "
        "Left out: `translit` alone decides.",
    )
    profile: str = Field(
        default="auto",
        description="Device profile that says a mail in one line: `auto` recognises it, `generic` never does, or a "
        "profile's name. The line stands in place of the default `text`; a `text` of your own finds it as `short`.",
    )
    max_parts: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Longest SMS in parts; a longer text is cut. A profile's line is one part unless a rule or the "
        "mail asks for more.",
    )


class Spending(Section):
    """What a day or a month may cost."""

    parts: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Most parts handed to a gateway. Left out: no limit."
    )
    money: Money | None = Field(
        default=None, description="Most money, in the currency of the account: `2000` or `99.50`. Left out: no limit."
    )


class BudgetOfEach(Section):
    """A budget that each user or each phone has for itself."""

    day: Spending = Field(default=Spending(), description="Of one calendar day.")
    month: Spending = Field(default=Spending(), description="Of one calendar month.")


class Budget(Section):
    """What all messages together may cost. Over it, RCPT answers 450 and what is queued waits for the next period."""

    day: Spending = Field(default=Spending(), description="Of one calendar day, for all together.")
    month: Spending = Field(default=Spending(), description="Of one calendar month, for all together.")
    user: BudgetOfEach = Field(default=BudgetOfEach(), description="For each user that has signed in.")
    phone: BudgetOfEach = Field(default=BudgetOfEach(), description="For each number.")
    warn: Percent = Field(
        default="80%", description="How much of a budget is used up when the operator is told; at 100% again."
    )
    timezone: Zone = Field(
        default="", description="Where days begin, such as `Europe/Moscow`. Empty: the process's own time zone."
    )


class LimitSettings(Section):
    """How many messages in which time: `5/15m`, all of a list at once. Left out: no limit."""

    phone: Rates = Field(default=[], description="To one number. What is over it waits in the queue.")
    client: Rates = Field(default=[], description="From one client address. Over it the answer is 450 4.7.1.")
    user: Rates = Field(default=[], description="From one user that has signed in; answered like `client`.")
    sender: Rates = Field(default=[], description="From one envelope sender; answered like `client`.")
    budget: Budget = Field(default=Budget(), description="What may be spent.")


class User(Section):
    """Somebody who may sign in, and what holds for them alone."""

    name: str = Field(min_length=1, max_length=255, description="The name to sign in with.")
    password: SecretStr = Field(description="The argon2id hash that `mailbridge hash-password` prints.")
    cram_secret: SecretStr | None = Field(
        default=None,
        description="The password in the clear, for devices that know nothing but CRAM-MD5. "
        "Whoever reads it can sign in, so let no other user have it.",
    )
    role: Literal["send", "look", "operate", "admin"] = Field(
        default="send", description="`send` is SMTP AUTH alone; the others say what the desk lets them do."
    )
    senders: Words | None = Field(
        default=None,
        description="Sender names a mail of theirs may ask for; the first stands in place of `message.sender`. "
        "Left out: any.",
    )
    numbers: Annotated[Words | None, BeforeValidator(upper)] = Field(
        default=None,
        description="Prefixes and countries they may send to, in place of `numbers.allow`; `[]`: to people and "
        "aliases alone. Names, and what a rule's `to` adds, are the configuration's own word and not asked.",
    )
    gateways: Words | None = Field(
        default=None,
        description="Gateways their messages may leave through, the best first; while none of them takes any, they "
        "wait. Left out: all, in the order of `gateways`.",
    )
    limits: Rates | None = Field(
        default=None, description="Their own rates, in place of `limits.user`; `[]`: no limit."
    )
    budget: BudgetOfEach | None = Field(default=None, description="Their own, in place of `limits.budget.user`.")


class Queue(Section):
    """The store."""

    url: str = Field(
        default="sqlite:////var/lib/mailbridge/queue.db",
        repr=False,
        json_schema_extra=SECRET_URL,
        description="Where the queue is kept: `sqlite:////absolute/path`, or `postgresql://user@host/database`.",
    )
    lease: Duration = Field(
        default=20.0,
        ge=1,
        le=600,
        description="PostgreSQL: a node that gives no sign of life for so long is dead to the others.",
    )
    lifetime: Duration = Field(default=DAY, ge=0.1, le=30 * DAY, description="How long delivery is tried.")
    retry_min: Duration = Field(
        default=5.0, ge=0.01, le=DAY, description="First wait after a deferral; doubles up to `retry_max`."
    )
    retry_max: Duration = Field(default=300.0, ge=0.01, le=DAY, description="Longest wait between two attempts.")
    keep_original: Size = Field(
        default=64_000, ge=0, le=10_000_000, description="How much of the original mail is kept for reports."
    )
    keep_history: Duration = Field(
        default=90 * DAY, ge=1, le=3650 * DAY, description="How long finished mails stay in the history."
    )
    max_history: int = Field(
        default=0,
        ge=0,
        le=100_000_000,
        description="Most mails kept: the oldest finished ones go, however young. 0: `keep_history` alone counts.",
    )
    max_waiting: int = Field(
        default=1_000_000,
        ge=0,
        le=100_000_000,
        description="Most messages that are queued, sending or unknown: from 80 % on answers to mails are put off, "
        "at the limit they are `452`. 0: no limit.",
    )
    delay_warning: Duration = Field(
        default=4 * 3600.0, ge=0, le=30 * DAY, description="When a sender is told that an SMS still waits. 0: never."
    )


class Bounce(Section):
    """How senders hear of failures."""

    mode: Literal["mail", "log"] = Field(
        default="log",
        description="`mail` sends a bounce through `smarthost`. Left out: `mail` where there is a smarthost.",
    )
    # ``from`` is a Python keyword
    from_: str = Field(
        default="", alias="from", description="From address of bounces. Empty: mailer-daemon@ and `smtp.hostname`."
    )
    smarthost: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET_URL,
        description="`smtp://` or `smtps://`, with `user:password@` and `?starttls=required` (or `auto`, `off`).",
    )
    operator: str = Field(
        default="", description="Who is told of suspended gateways and held messages. Empty: the log alone."
    )
    lifetime: Duration = Field(default=5 * DAY, ge=1, le=30 * DAY, description="How long a bounce is tried.")

    @model_validator(mode="before")
    @classmethod
    def _mail_where_there_is_a_smarthost(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("smarthost") and "mode" not in data:
            return {**data, "mode": "mail"}
        return data


class Web(Section):
    """HTTP: health, metrics, callbacks, API and desk."""

    listen: Annotated[str | None, BeforeValidator(off)] = Field(
        default="127.0.0.1:8080", description="`host:port`, `[v6]:port` or `off`."
    )
    url: str = Field(
        default="",
        description="The address people write, where a proxy stands in front: `https://sms.example.org`. "
        "With `https` the desk's cookies never travel in the clear.",
    )


class Log(Section):
    """What is written to stdout."""

    format: Literal["json", "console"] = Field(default="json", description="`json` is one object a line.")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is written."
    )
    phones: Literal["masked", "full"] = Field(
        default="masked", description="`masked` shows the last four digits of a number alone."
    )


class Config(Section):
    """The whole configuration."""

    smtp: Smtp = Field(default=Smtp(), description="The door: where mail comes in.")
    users: list[User] = Field(default=[], description="Who may sign in.")
    numbers: Numbers = Field(default=Numbers(), description="How numbers are read and which are allowed.")
    message: MessageDefaults = Field(
        default=MessageDefaults(), description="What an SMS looks like unless the mail says otherwise."
    )
    limits: LimitSettings = Field(
        default=LimitSettings(), description="How many messages in which time, and what may be spent."
    )
    profiles: str = Field(
        default="", description="Folder of device profiles of your own (`*.yaml`), beside the built-in ones."
    )
    rules: list[Rule] = Field(
        default=[], description="What is done with which mails, in order; the first that fits decides."
    )
    gateways: dict[str, Gateway] = Field(
        default={}, description="Accounts at carriers by a name of your own; at least one."
    )
    routes: list[Route] = Field(
        default=[],
        description="Which gateway carries which numbers; the first route that fits decides. Left out: the gateways in "
        "the order written, for all numbers.",
    )
    queue: Queue = Field(default=Queue(), description="The store: what was promised and not yet done, and the history.")
    people: dict[str, Person] = Field(default={}, description="People by name; the name is a recipient.")
    aliases: dict[str, Alias] = Field(
        default={},
        description='Names for people, numbers and rotas; the name is a recipient. `"*"` takes every name nobody has.',
    )
    rotas: dict[str, Rota] = Field(default={}, description="Who is on duty when, by a name of your own.")
    quiet_hours: dict[str, QuietHours] = Field(
        default={}, description="When people are not to be woken, by a name of your own."
    )
    digest: Digests = Field(default=Digests(), description="Storms of alerts: one message for many.")
    escalation: dict[str, Chain] = Field(
        default={}, description="Alerts that somebody has to answer, and who is told next, by a name of your own."
    )
    inbound: Inbound = Field(default=Inbound(), description="SMS that come in: answers to alerts.")
    self_test: SelfTest = Field(default=SelfTest(), description="An SMS now and then that says that all is well.")
    heartbeat: Heartbeat = Field(
        default=Heartbeat(), description="A sign of life to a service that raises the alarm when it stays away."
    )
    bounce: Bounce = Field(default=Bounce(), description="How senders hear of failures.")
    web: Web = Field(default=Web(), description="HTTP: health, metrics, callbacks, API and desk.")
    api: Api = Field(default=Api(), description="Programs that may ask, and those that are told.")
    log: Log = Field(default=Log(), description="What is written to stdout.")

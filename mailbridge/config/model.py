"""The one typed model of the configuration; the example file, the JSON Schema and the reference page come from it.

Field names are the keys of contract section 3.
Durations are seconds (``Duration``, a float) and sizes are bytes (``Size``, an int) once loaded.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from mailbridge.config.units import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]


class Section(BaseModel):
    """A mapping of the configuration: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listener(Section):
    """One address the door listens on."""

    address: str = "127.0.0.1:2525"
    protocol: Literal["smtp", "lmtp"] = "smtp"
    tls: Literal["off", "starttls", "required", "implicit"] = "off"
    certificate: str | None = None
    private_key: str | None = None
    allow: list[str] = ["127.0.0.0/8", "::1"]
    auth: Literal["off", "optional", "required"] = "off"
    legacy: bool = False


class Smtp(Section):
    """The door."""

    hostname: str = ""
    listen: list[Listener] = [Listener()]
    domains: dict[str, str] = {"sms.local": "sms"}
    reply: Literal["verdict", "queued"] = "verdict"
    verdict_wait: Duration = 10.0
    max_message_size: Size = 10_000_000
    max_recipients: int = 100
    max_connections: int = 1000
    #: seconds a session may idle between commands
    timeout: Duration = 300.0
    #: seconds from DATA to its end
    data_timeout: Duration = 600.0
    max_hops: int = 50


class User(Section):
    """Somebody who may sign in."""

    name: str
    password: SecretStr
    role: Literal["send", "look", "operate", "admin"] = "send"


class Numbers(Section):
    """How numbers are read and which are allowed."""

    region: str = "RU"
    #: prefixes (``+7``) or countries (``KZ``); None: the region's country
    allow: list[str] | None = None


class MessageDefaults(Section):
    """What an SMS looks like unless the mail says otherwise."""

    text: str = "{{ subject }}: {{ body }}"
    sender: str = ""
    translit: Literal["0", "1", "2", "auto"] = "0"
    max_parts: int = Field(default=3, ge=1, le=20)


class SmscGateway(Section):
    """An account at SMSC."""

    type: Literal["smsc"] = "smsc"
    url: list[str] = ["https://smsc.ru", "https://www2.smsc.ru"]
    login: str | None = None
    password: SecretStr | None = None
    apikey: SecretStr | None = None
    timeout: Duration = 20.0
    connect_timeout: Duration = 4.0
    batch: int = Field(default=100, ge=1, le=100)
    #: requests in flight; the gateway refuses 15 and more
    max_in_flight: int = Field(default=10, ge=1, le=14)
    quarantine: Duration = 150.0
    on_unknown: Literal["hold", "fail", "retry"] = "hold"
    callback_path: str | None = None
    callback_secret: SecretStr | None = None
    proxy: str | None = None
    #: seconds between status questions about a young message; 0 leaves delivery reports to the callbacks alone
    poll: Duration = 30.0


class Queue(Section):
    """The store."""

    url: str = "sqlite:////var/lib/mailbridge/queue.db"
    lifetime: Duration = 86400.0
    #: first wait after a deferral; doubles up to retry_max
    retry_min: Duration = 5.0
    retry_max: Duration = 300.0
    #: how much of the original mail is kept for reports and the desk
    keep_original: Size = 64_000
    #: how long finished mails stay in the history
    keep_history: Duration = 90 * 86400.0
    #: a sender asking for it (NOTIFY=DELAY, or no NOTIFY) is told once after this; 0 never
    delay_warning: Duration = 4 * 3600.0


class Bounce(Section):
    """How senders hear of failures."""

    mode: Literal["mail", "log"] = "log"
    # ``from`` is a Python keyword
    from_: str = Field(default="", alias="from")
    smarthost: str | None = None
    #: who is told of suspended gateways and held messages; empty: the log alone
    operator: str = ""
    lifetime: Duration = 5 * 86400.0


class Web(Section):
    """HTTP: health, metrics, callbacks."""

    listen: str | None = "127.0.0.1:8080"


class Log(Section):
    """What is written to stdout."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"
    phones: Literal["masked", "full"] = "masked"


class Config(Section):
    """The whole configuration."""

    smtp: Smtp = Smtp()
    users: list[User] = []
    numbers: Numbers = Numbers()
    message: MessageDefaults = MessageDefaults()
    gateways: dict[str, SmscGateway] = {}
    queue: Queue = Queue()
    bounce: Bounce = Bounce()
    web: Web = Web()
    log: Log = Log()

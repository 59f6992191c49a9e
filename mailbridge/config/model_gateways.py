"""The typed model of the carriers and of which numbers go through which. Part of ``model.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from mailbridge.config.model_http import HttpBalance, HttpCallback, HttpError, HttpMatch, HttpQuestion, HttpRequest
from mailbridge.config.sections import (
    DAY,
    SECRET_URL,
    Duration,
    Section,
    Words,
    upper,
)


class SmscGateway(Section):
    """An account at SMSC."""

    type: Literal["smsc", "http"] = Field(
        default="smsc",
        description="Kind of carrier. `http` is any with an HTTP interface, described by the keys from `request` on: "
        "docs/howto/carriers.md.",
    )
    url: Words = Field(
        default=["https://smsc.ru", "https://www2.smsc.ru"],
        description="The gateway's hosts, tried in this order. `http://` is for loopback and private addresses.",
    )
    login: str | None = Field(default=None, description="Account name; goes with `password`.")
    password: SecretStr | None = Field(default=None, description="Account password (or its MD5, in lower case).")
    apikey: SecretStr | None = Field(default=None, description="API key, instead of `login` and `password`.")
    timeout: Duration = Field(default=20.0, ge=0.1, le=300, description="Longest time of one request.")
    connect_timeout: Duration = Field(default=4.0, ge=0.1, le=60, description="Longest time to connect.")
    batch: int = Field(default=100, ge=1, le=100, description="Most messages in one request.")
    max_in_flight: int = Field(
        default=10, ge=1, le=14, description="Most requests at a time. The gateway refuses the fifteenth."
    )
    quarantine: Duration = Field(
        default=150.0,
        ge=0,
        le=DAY,
        description='From giving a request up: until then the gateway\'s "not found" is not believed. '
        "Less than a minute risks sending twice.",
    )
    on_unknown: Literal["hold", "fail", "retry"] = Field(
        default="hold",
        description="What becomes of a message whose fate stays unknown for its whole lifetime; "
        "of one at a carrier that cannot be asked, when its quarantine is over.",
    )
    callback_path: SecretStr | None = Field(
        default=None,
        max_length=128,
        description="Secret last part of `/callback/<gateway>/…`. Left out: there is no such page.",
    )
    callback_secret: SecretStr | None = Field(
        default=None, description="Checks the callbacks' signatures; unsigned ones are then refused."
    )
    proxy: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra=SECRET_URL,
        description="HTTP proxy, `http://user:password@host:port`.",
    )
    poll: Duration = Field(
        default=30.0,
        ge=0,
        le=DAY,
        description="Time between status questions about a young message; less than 15s holds for its first four. "
        "0 leaves reports to the callbacks alone.",
    )
    currency: Annotated[str | None, BeforeValidator(upper)] = Field(
        default=None,
        pattern="^[A-Z]{3}$",
        description="The account's currency, three letters. Left out: the host's (KZT, UAH, else RUR for roubles), "
        "until the gateway says it with a balance.",
    )
    insecure: bool = Field(
        default=False, description="Allows `http://` to any host: the password then travels readable by all."
    )


class Gateway(SmscGateway):
    """An account at a carrier of any kind; which keys belong to which kind is checked in ``check_gateways.py``."""

    request: HttpRequest | None = Field(default=None, description="http: the request that sends one message.")
    success: HttpMatch = Field(
        default=HttpMatch(), description="http: the answer that says it was taken, where no error fits."
    )
    id: str | None = Field(
        default=None, description="http: where the answer has the carrier's own id: `json:path`, `header:…`, `body:…`."
    )
    errors: list[HttpError] = Field(
        default=[], description="http: answers that refuse, in order; the first that fits decides. Others: unknown."
    )
    error_text: str | None = Field(
        default=None, description="http: where the answer has the carrier's own words for a refusal."
    )
    price: str | None = Field(default=None, description="http: where the answer has the price of the message.")
    status: HttpQuestion | None = Field(
        default=None, description="http: how to ask what became of a message, by `{{ gateway_id }}`."
    )
    lookup: HttpQuestion | None = Field(
        default=None, description="http: how to ask by our own `{{ id }}` whether a message was taken at all."
    )
    balance: HttpBalance | None = Field(default=None, description="http: how to ask for the money left.")
    callback: HttpCallback | None = Field(default=None, description="http: what the carrier's reports mean.")


class RouteMatch(Section):
    """Which numbers a route is for."""

    prefix: Words = Field(default=[], description="Beginnings of numbers: `+7`, `+7999`. Left out: all.")


class Route(Section):
    """Numbers, and the gateways that carry them."""

    match: RouteMatch = Field(default=RouteMatch(), description="Which numbers it is for; the last route is for all.")
    gateways: Words = Field(description="Names of gateways, best first: the first that takes messages now carries it.")

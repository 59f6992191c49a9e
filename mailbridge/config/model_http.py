"""``type: http``: a carrier described by what is sent to it and what its answers mean. Part of ``model.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, JsonValue, SecretStr

from mailbridge.config.sections import Duration, Section, Words

#: values hold keys of accounts
_PLACES = "Places such as `{{ digits }}` are filled in."


class HttpMatch(Section):
    """What an answer must be like; everything that is written must fit."""

    status: Words = Field(default=[], description="HTTP statuses, `200` or `4xx`. Left out of `success`: `2xx`.")
    json_: dict[str, str] = Field(
        default={},
        alias="json",
        description="Path through the JSON of the answer to the value that must stand there; `*` is any value. "
        "`re:` begins an RE2 pattern. A `*` in a path is the first member.",
    )
    body: str | None = Field(default=None, description="RE2 pattern that must be found in the answer.")


class HttpError(HttpMatch):
    """An answer that refuses."""

    class_: Literal["refused", "no_route", "deferred", "suspended", "unknown"] = Field(
        alias="class",
        description="refused: never; no_route: not here, but the next gateway of its route may; deferred: later; "
        "suspended: the whole gateway waits and is probed; unknown: it may have been taken.",
    )
    reply: str | None = Field(default=None, description="What an SMTP client hears of a refusal: `550 5.1.3`.")
    wait: Duration | None = Field(
        default=None, ge=0.1, le=86400, description="Time until the next try (deferred) or probe (suspended)."
    )


class HttpCall(Section):
    """A request without what is sent in JSON."""

    method: Literal["GET", "POST", "PUT"] = Field(default="POST", description="HTTP method.")
    url: SecretStr = Field(description=f"Address. {_PLACES}")
    headers: dict[str, SecretStr] = Field(default={}, description=f"Headers. {_PLACES}")
    form: dict[str, SecretStr] = Field(default={}, description=f"Fields of a form, or of the query of a GET. {_PLACES}")
    body: SecretStr | None = Field(
        default=None,
        description="Body as it is sent; write `{{ text|json }}` or `{{ text|xml }}` where it is JSON or XML, and its "
        "`Content-Type` among the headers.",
    )


class HttpRequest(HttpCall):
    """The request that sends one message."""

    json_: dict[str, JsonValue] | None = Field(default=None, alias="json", description=f"Body in JSON. {_PLACES}")


class HttpQuestion(HttpCall):
    """A question about one message, and what its answers mean."""

    json_: dict[str, dict[str, str]] = Field(
        default={},
        alias="json",
        description="Path through the JSON of the answer to its words: word to `sent`, `delivered`, `undelivered` or "
        "`expired`.",
    )
    words: dict[str, str] = Field(
        default={}, description="The same for other answers: RE2 pattern that is found to what it means."
    )
    not_found: HttpMatch | None = Field(default=None, description="The answer that says there is no such message.")
    gateway_id: str | None = Field(
        default=None, description="In `lookup`: where the answer has the carrier's own id, as in `id`."
    )


class HttpBalance(HttpCall):
    """The question for the money left; it is the probe of a suspended gateway, too."""

    amount: str = Field(description="Where the answer has it: `json:balance`, `header:…`, `body:…`.")
    currency: str | None = Field(default=None, description="Where the answer has it, in the same way.")


class HttpCallback(Section):
    """What the carrier's reports to `/callback/<gateway>/<callback_path>` mean: fields of a form, a query or JSON."""

    gateway_id: str | None = Field(default=None, description="Field with the carrier's own id.")
    id: str | None = Field(default=None, description="Field with our id, where the carrier gives it back.")
    phone: str = Field(default="phone", description="Field with the number.")
    state: dict[str, dict[str, str]] = Field(
        description="Field to its words: word to `sent`, `delivered`, `undelivered` or `expired`. Others are ignored."
    )


def texts_of(call: HttpCall) -> Iterator[str]:
    """Yield every text of a request in which places are filled in."""
    yield call.url.get_secret_value()
    yield from (value.get_secret_value() for value in (*call.headers.values(), *call.form.values()))
    if call.body is not None:
        yield call.body.get_secret_value()
    if isinstance(call, HttpRequest):
        yield from (text for _, text in texts_in(call.json_, ()))


def texts_in(value: JsonValue, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every text of a JSON body, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts_in(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts_in(item, (*path, number))

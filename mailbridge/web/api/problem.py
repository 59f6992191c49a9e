"""Errors as the API tells them (RFC 9457): fixed words, and what of the request was not understood."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from mailbridge.errors import (
    AskedOtherwise,
    IntakeError,
    MailbridgeError,
    NotFound,
    StoreError,
    StoreFull,
    TryLater,
    WrongState,
)
from mailbridge.queue.contract import Json
from mailbridge.web.feed import TooMany

CONTENT_TYPE = "application/problem+json"
#: when to ask again what could not be answered, in seconds
_AGAIN_S = "5"
_MOST_ERRORS = 20


class Refused(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (), reply: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors
        self.reply = reply


def problem_response(refused: Refused) -> web.Response:
    """Return *refused* as a response."""
    shape: dict[str, Json] = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
    }
    if refused.errors:
        shape["errors"] = [dict(error) for error in refused.errors]
    if refused.reply is not None:
        shape["reply"] = refused.reply
    return web.Response(
        status=refused.status, body=json.dumps(shape, ensure_ascii=False).encode("utf-8", "replace"),
        headers={**refused.headers, "Content-Type": CONTENT_TYPE},
    )  # fmt: skip


def not_understood(error: ValidationError, where: str) -> Refused:
    """Return what to answer where *where* of a request does not fit its model."""
    errors = [
        {"at": ".".join((where, *map(_step, found["loc"]))), "detail": _words(found["msg"])}
        for found in error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_ERRORS]
    ]
    return Refused(400, f"the {where} is not as it should be", errors=errors)


def _step(step: int | str) -> str:
    # what the asker wrote as a key, shortened
    return str(step)[:60]


def _words(text: str) -> str:
    return text.removeprefix("Value error, ")[:300]


def from_error(error: MailbridgeError) -> Refused:
    """Return what to answer for an error of ours."""
    again = {"Retry-After": _AGAIN_S}
    match error:
        case TryLater():
            return Refused(503, str(error.reply), headers=again, reply=str(error.reply))
        case IntakeError():
            return Refused(422, str(error), reply=str(error.reply))
        case NotFound():
            return Refused(404, str(error))
        case WrongState():
            return Refused(409, str(error))
        case AskedOtherwise():
            return Refused(422, "this Idempotency-Key was used for another request")
        case StoreFull():
            return Refused(503, "there is no room left for the queue", headers=again)
        case StoreError():
            return Refused(503, "the queue cannot be asked now", headers=again)
        case TooMany():
            return Refused(503, "too many listen already", headers=again)
        case _:
            return Refused(500, "internal error")

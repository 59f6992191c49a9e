"""What can be asked: one table of operations, from which the pages are served and the OpenAPI document is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from mailbridge.config.model_api import Scope, Token
from mailbridge.web.api.models import In, NoQuery
from mailbridge.web.office import Office

MAIL = "message/rfc822"
JSON = "application/json"
STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked."""

    office: Office
    token: Token
    request: web.Request
    #: of the operation's own models
    query: Any
    body: Any = None
    #: the mail in the body, where it was one
    mail: bytes | None = None

    @property
    def by(self) -> str:
        """Who asks, for histories."""
        return f"api:{self.token.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered, as JSON."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Answer | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked."""

    method: str
    #: below ``/api/v1``
    path: str
    name: str
    summary: str
    scope: Scope
    handler: Handler
    query: type[In] = NoQuery
    #: models of a JSON body; any of them
    bodies: tuple[type[BaseModel], ...] = ()
    #: query of a request whose body is a mail
    mail_query: type[In] | None = None
    status: int = 200
    #: model, or a list of it
    answer: type[BaseModel]
    is_list: bool = False
    #: one object, or a list
    is_either: bool = False
    media: str = JSON
    #: problems beside those that every operation has
    problems: tuple[int, ...] = ()
    takes_key: bool = False

"""Serves the table of operations: who asks, what is asked, the answer or a problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from mailbridge.config.model import Config
from mailbridge.errors import MailbridgeError
from mailbridge.web.api.handlers import OPERATIONS
from mailbridge.web.api.models import In
from mailbridge.web.api.openapi import document
from mailbridge.web.api.operations import JSON, MAIL, STREAM, Answer, Call, Operation
from mailbridge.web.api.problem import Refused, from_error, not_understood, problem_response
from mailbridge.web.api.tokens import Tokens
from mailbridge.web.body import TooLarge, read_body
from mailbridge.web.office import Office
from mailbridge.web.server import UNLIMITED

log = structlog.get_logger()

BASE = "/api/v1"
#: most of a JSON body that is no mail
_MAX_JSON_BYTES = 64 * 1024


class Api:
    """The pages of the API, by the configuration in force."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._tokens = Tokens(office.config.api.tokens, office.clock)
        self._document = json.dumps(document(), ensure_ascii=False).encode()

    def reload(self, config: Config) -> None:
        """Know the tokens of *config* from now on."""
        self._tokens.replace(config.api.tokens)

    def close(self) -> None:
        """Let the threads go."""
        self._tokens.close()

    def add_routes(self, app: web.Application) -> None:
        """Serve the API."""
        by_path: dict[str, dict[str, Operation]] = {}
        for operation in OPERATIONS:
            by_path.setdefault(operation.path, {})[operation.method] = operation
            if operation.media == STREAM:
                app[UNLIMITED].add(f"{BASE}{operation.path}")
        app.router.add_route("*", f"{BASE}/openapi.json", self._described)
        for path, operations in by_path.items():
            app.router.add_route("*", f"{BASE}{path}", self._serve(operations))
        app.router.add_route("*", "/api/{rest:.*}", self._nothing)

    async def _described(self, request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            return _not_allowed(("GET",))
        return web.Response(body=self._document, content_type=JSON)

    async def _nothing(self, _request: web.Request) -> web.Response:
        return problem_response(Refused(404, f"there is nothing here; see {BASE}/openapi.json"))

    def _serve(self, operations: Mapping[str, Operation]) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.StreamResponse:
            operation = operations.get("GET" if request.method == "HEAD" else request.method)
            if operation is None:
                return _not_allowed(tuple(operations))
            try:
                answer = await self._carry_out(operation, request)
            except Refused as refused:
                return problem_response(refused)
            except MailbridgeError as error:
                return problem_response(from_error(error))
            except (ConnectionError, TimeoutError):
                raise
            except Exception:
                log.exception("web request broke", page=operation.path, method=request.method)
                return problem_response(Refused(500, "internal error"))
            if not isinstance(answer, Answer):
                return answer
            body = json.dumps(answer.value, ensure_ascii=False).encode("utf-8", "replace")
            headers = {"Cache-Control": "no-store", **answer.headers}
            return web.Response(status=answer.status, body=body, content_type=JSON, headers=headers)

        return serve

    async def _carry_out(self, operation: Operation, request: web.Request) -> Answer | web.StreamResponse:
        token = await self._tokens.admit(
            request.headers.get("Authorization", ""), request.remote or "", operation.scope
        )
        is_mail = operation.mail_query is not None and request.content_type == MAIL
        query = _read_query(operation.mail_query if is_mail and operation.mail_query else operation.query, request)
        body, mail = None, None
        if is_mail:
            mail = await _read(request, self._office.config.smtp.max_message_size)
        elif operation.bodies:
            if request.content_type != JSON:
                raise Refused(415, f"write the body as {JSON}{f' or {MAIL}' if operation.mail_query else ''}")
            most = self._office.config.smtp.max_message_size if operation.mail_query else _MAX_JSON_BYTES
            body = _read_body(operation.bodies, await _read(request, most))
        call = Call(office=self._office, token=token, request=request, query=query, body=body, mail=mail)
        return await operation.handler(call)


def _not_allowed(methods: tuple[str, ...]) -> web.Response:
    words = ", ".join(methods)
    return problem_response(Refused(405, f"here one can {words}", headers={"Allow": words}))


async def _read(request: web.Request, most: int) -> bytes:
    try:
        return await read_body(request, most)
    except TooLarge as error:
        raise Refused(413, f"the body may have {most} bytes") from error


def _read_query(model: type[In], request: web.Request) -> In:
    lists = {info.alias or name for name, info in model.model_fields.items() if "list[" in str(info.annotation)}
    given: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if name not in lists and len(values) > 1:
            raise Refused(400, f"query.{name[:60]} is given twice")
        given[name] = values if name in lists else values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise not_understood(error, "query") from error


def _read_body(models: tuple[type[BaseModel], ...], raw: bytes) -> Any:
    model = models[0]
    if len(models) > 1:
        # which one is meant shows in its keys
        try:
            keys = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "the body is not JSON") from error
        model = next(
            (one for one in models if isinstance(keys, dict) and "mail" in keys and "mail" in one.model_fields), model
        )
    try:
        return TypeAdapter(model).validate_json(raw)
    except ValidationError as error:
        raise not_understood(error, "body") from error

"""The OpenAPI 3.1 document, written from the table of operations and the models that check requests. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mailbridge import __version__
from mailbridge.web.api.handlers import OPERATIONS
from mailbridge.web.api.models import In, MailQuery, Problem
from mailbridge.web.api.operations import JSON, MAIL, STREAM, Operation

_REF = "#/components/schemas/{model}"
#: what every operation may answer
_COMMON = (400, 401, 403, 429, 503)
_TITLES = {
    400: "The request is not as it should be.", 401: "No token, or one that is not known.",
    403: "The token may not do this.", 404: "There is no such thing.", 409: "Its state does not allow that.",
    413: "The body is too large.", 415: "The body is of another type.", 422: "It would be refused.",
    429: "Too many wrong tokens from this address.", 502: "The gateway gave no usable answer.",
    503: "Not now; try again.",
}  # fmt: skip
_DESCRIPTION = (
    "Send texts, see what became of them, look after the queue. Every call needs a bearer token of `api.tokens` in the "
    "configuration; each operation names the scope it needs. Errors are problem documents (RFC 9457)."
)


def document() -> dict[str, Any]:
    """Return the document."""
    models: set[type[BaseModel]] = {Problem}
    for operation in OPERATIONS:
        models |= {operation.answer, *operation.bodies}
    schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)], ref_template=_REF
    )[1]["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mailbridge", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def text() -> str:
    """Return the document as it is kept in docs/reference."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [*_path_parameters(operation.path), *_query_parameters(operation.query)]
    if operation.takes_key:
        parameters.append(
            {
                "name": "Idempotency-Key", "in": "header", "required": False,
                "description": "Who repeats a request with its key within a day sends nothing twice.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        )  # fmt: skip
    if operation.mail_query is not None:
        # of a mail in the body; a JSON body says it itself
        parameters += [{**one, "required": False} for one in _query_parameters(operation.mail_query)]
    if operation.media == STREAM:
        parameters.append({"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}})
    out: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Scope: `{operation.scope}`.",
        "parameters": parameters,
        "responses": _responses(operation),
    }
    if body := _body(operation):
        out["requestBody"] = {"required": True, "content": body}
    return out


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [piece[1:-1] for piece in path.split("/") if piece.startswith("{")]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}} for name in names
    ]


def _query_parameters(model: type[In]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=_REF)
    required, known = schema.get("required", ()), schema.get("$defs", {})
    out = []
    for name, shape in schema.get("properties", {}).items():
        own = _without_null({key: value for key, value in shape.items() if key not in {"title", "description"}})
        parameter = {
            "name": name, "in": "query", "required": name in required, "schema": _inlined(own, known),
            "description": shape.get("description", ""),
        }  # fmt: skip
        out.append(parameter)
    return out


def _without_null(shape: dict[str, Any]) -> dict[str, Any]:
    """Return the shape of a parameter: one that is left out is null to the model alone."""
    some = [one for one in shape.get("anyOf", ()) if one != {"type": "null"}]
    if len(some) != 1:
        return shape
    rest = {key: value for key, value in shape.items() if key not in {"anyOf", "default"}}
    return {**some[0], **rest}


def _inlined(shape: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(shape, dict):
        if "$ref" in shape:
            return _inlined(known[shape["$ref"].rpartition("/")[2]], known)
        return {key: _inlined(value, known) for key, value in shape.items()}
    return [_inlined(item, known) for item in shape] if isinstance(shape, list) else shape


def _body(operation: Operation) -> dict[str, Any]:
    refs = [{"$ref": _REF.format(model=model.__name__)} for model in operation.bodies]
    content: dict[str, Any] = {}
    if refs:
        content[JSON] = {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
    if operation.mail_query is MailQuery:
        content[MAIL] = {"schema": {"type": "string", "format": "binary"}}
    return content


def _responses(operation: Operation) -> dict[str, Any]:
    ref: dict[str, Any] = {"$ref": _REF.format(model=operation.answer.__name__)}
    shape: dict[str, Any] = {"type": "array", "items": ref} if operation.is_list else ref
    if operation.is_either:
        shape = {"anyOf": [ref, {"type": "array", "items": ref}]}
    if operation.media == STREAM:
        shape = {"type": "string"}
    problems = {*_COMMON, *operation.problems}
    if operation.bodies or operation.mail_query:
        problems |= {413, 415}
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    out: dict[str, Any] = {
        str(operation.status): {"description": "Done.", "content": {operation.media: {"schema": shape}}}
    }
    for status in sorted(problems):
        out[str(status)] = {"description": _TITLES[status], "content": problem}
    return out

"""From a definition and a message to one HTTP request. Pure.

Must not send anything, and must not let a message choose a host, a header or the shape of a body: values are written
for the place they stand in.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from pydantic import JsonValue

from mailbridge.config.model_http import HttpCall, HttpRequest, texts_of
from mailbridge.config.placeholders import fill, names_of
from mailbridge.gateway.smsc.escape import encodable
from mailbridge.gateway.transport import FORM
from mailbridge.model.message import Alphabet, Message

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, ready to go."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


def message_values(message: Message, gateway_id: str) -> dict[str, str]:
    """Return what the places of a definition stand for."""
    is_unicode = message.alphabet is Alphabet.UCS2
    return {
        "phone": message.phone,
        "digits": message.phone.removeprefix("+"),
        "text": encodable(message.text),
        "sender": message.sender,
        "id": gateway_id,
        "parts": str(message.parts),
        "coding": "2" if is_unicode else "0",
        "kind": "unicode" if is_unicode else "text",
    }


def build_request(call: HttpCall, values: Values) -> Request:
    """Fill *call* in."""
    url = fill(call.url.get_secret_value(), values, _in_url)
    headers = {name: _in_header(fill(value.get_secret_value(), values)) for name, value in call.headers.items()}
    goes_elsewhere = _has(headers, "authorization") or any("password" in names_of(text) for text in texts_of(call))
    if values.get("login") and values.get("password") and not goes_elsewhere:
        headers["Authorization"] = _basic(values["login"], values["password"])
    body, kind = _body(call, values)
    if call.method == "GET":
        if call.form:
            url += ("&" if "?" in url else "?") + _form(call, values)
        return Request(method=call.method, url=url, headers=headers, body=None)
    if kind and not _has(headers, "content-type"):
        headers["Content-Type"] = kind
    return Request(method=call.method, url=url, headers=headers, body=body)


def _body(call: HttpCall, values: Values) -> tuple[bytes, str]:
    if isinstance(call, HttpRequest) and call.json_ is not None:
        filled = _filled(call.json_, values)
        return json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"
    if call.body is not None:
        return fill(call.body.get_secret_value(), values).encode(errors="replace"), "text/plain; charset=utf-8"
    return _form(call, values).encode("ascii"), FORM


def _filled(value: JsonValue, values: Values) -> JsonValue:
    """Fill every text of a JSON body in; the values are written into finished texts, so none can break out."""
    match value:
        case str():
            return fill(value, values)
        case dict():
            return {name: _filled(item, values) for name, item in value.items()}
        case list():
            return [_filled(item, values) for item in value]
    return value


def _form(call: HttpCall, values: Values) -> str:
    """Return the fields as a form; one whose value is empty is left out."""
    fields = {name: fill(value.get_secret_value(), values) for name, value in call.form.items()}
    return urlencode({name: value for name, value in fields.items() if value}, errors="replace")


def _basic(login: str, password: str) -> str:
    return "Basic " + b64encode(f"{login}:{password}".encode()).decode()


def _has(headers: Mapping[str, str], name: str) -> bool:
    return any(key.lower() == name for key in headers)


def _in_url(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _in_header(text: str) -> str:
    """Return *text* as a header may hold it: one line, nothing that is not Latin."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.encode("latin-1", "replace").decode("latin-1").strip()

"""What the keys of a ``type: http`` carrier mean together: a definition that could never succeed is refused here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from mailbridge.config import placeholders
from mailbridge.config.addresses import is_hostname, is_private_host
from mailbridge.config.answers import parse_path, parse_place
from mailbridge.config.model import Gateway
from mailbridge.config.model_http import HttpCall, HttpMatch, HttpQuestion, HttpRequest, texts_in, texts_of
from mailbridge.config.patterns import PREFIX, compile_pattern
from mailbridge.config.tree import Findings, Path

#: keys that only ``type: http`` has, and those that only SMSC has
HTTP_KEYS = (
    "request", "success", "id", "errors", "error_text", "price", "status", "lookup", "balance", "callback",
)  # fmt: skip
SMSC_KEYS = ("url", "batch", "callback_secret")
STATES = ("sent", "delivered", "undelivered", "expired")
#: what only a question about a message already taken can know, and what only sending has
_LATER = frozenset({"gateway_id"})
_OF_A_MESSAGE = frozenset({"text", "sender", "parts", "coding", "kind"})
_ACCOUNT = frozenset({"login", "password", "apikey"})
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REPLY = re.compile(r"5\d\d 5\.\d{1,3}\.\d{1,3}(?: [ -~]*)?")


def check_http(gateway: Gateway, path: Path, findings: Findings) -> None:
    """Report what is wrong with a gateway of ``type: http``."""
    request = gateway.request
    if request is None:
        findings.report((*path, "request"), "is missing", "write the request that sends one message")
        return
    _check_request(request, (*path, "request"), gateway, findings)
    _check_match(gateway.success, (*path, "success"), findings)
    _check_could_be_a_success(gateway, path, findings)
    for key in ("id", "error_text", "price"):
        _check_place(getattr(gateway, key), (*path, key), findings)
    for number, error in enumerate(gateway.errors):
        place = (*path, "errors", number)
        _check_match(error, place, findings)
        if not error.status and not error.json_ and error.body is None:
            findings.report(place, "fits every answer, so nothing could ever be sent", "write status:, json: or body:")
        if error.reply is not None and error.class_ not in ("refused", "no_route"):
            findings.report((*place, "reply"), "is never heard: only a refusal is answered", "remove it")
        elif error.reply is not None and not _is_reply(error.reply):
            findings.report((*place, "reply"), "not a refusal of SMTP", 'write "550 5.1.3", and words after it')
    _check_questions(gateway, path, findings)
    if gateway.balance is not None:
        _check_call(gateway.balance, (*path, "balance"), gateway, findings, allowed=_ACCOUNT)
        _check_place(gateway.balance.amount, (*path, "balance", "amount"), findings)
        _check_place(gateway.balance.currency, (*path, "balance", "currency"), findings)
    _check_callback(gateway, path, findings)
    _check_places_are_filled(gateway, path, findings)


# ----------------------------------------------------------------------------------------------- requests
def _check_request(request: HttpRequest, path: Path, gateway: Gateway, findings: Findings) -> None:
    allowed = frozenset(placeholders.NAMES) - _LATER
    _check_call(request, path, gateway, findings, allowed=allowed)
    if request.json_ is not None:
        if request.form or request.body is not None:
            findings.report((*path, "json"), "stands beside another body", "keep one of json, form and body")
        for place, text in texts_in(request.json_, (*path, "json")):
            _check_text(text, place, findings, allowed=allowed)
    if request.method == "GET" and (request.json_ is not None or request.body is not None):
        findings.report((*path, "method"), "GET has no body", "write POST, or form: for the query")
    try:
        used = set().union(*map(placeholders.names_of, texts_of(request)))
    except ValueError:
        return  # reported where it stands
    for wanted, words in (({"phone", "digits"}, "{{ phone }} or {{ digits }}"), ({"text"}, "{{ text }}")):
        if not used & wanted:
            findings.report(path, f"{words} stands nowhere in it, so no message could arrive", f"write {words}")


def _check_call(call: HttpCall, path: Path, gateway: Gateway, findings: Findings, *, allowed: frozenset[str]) -> None:
    _check_url(call.url.get_secret_value(), (*path, "url"), gateway, findings, allowed=allowed)
    for name, value in call.headers.items():
        place = (*path, "headers", name)
        if not _HEADER.fullmatch(name):
            findings.report(place, "not a header's name", "write one such as X-Api-Key")
        elif name.lower() in {"content-length", "host", "transfer-encoding", "connection"}:
            findings.report(place, "is written by the program that sends", "remove it")
        else:
            _check_text(value.get_secret_value(), place, findings, allowed=allowed)
    for name, value in call.form.items():
        _check_text(value.get_secret_value(), (*path, "form", name), findings, allowed=allowed)
    if call.body is None:
        return
    if call.form:
        findings.report((*path, "body"), "stands beside another body", "keep one of json, form and body")
    body = call.body.get_secret_value()
    if not _check_text(body, (*path, "body"), findings, allowed=allowed):
        return
    if body.lstrip()[:1] in ("{", "[", "<") and "text" in placeholders.bare_names_of(body):
        fix = "write {{ text|json }} without quotes of your own" if body.lstrip()[0] != "<" else "write {{ text|xml }}"
        findings.report((*path, "body"), "a text with a quote or a < in it would break it", fix)


def _check_url(text: str, path: Path, gateway: Gateway, findings: Findings, *, allowed: frozenset[str]) -> None:
    if not _check_text(text, path, findings, allowed=allowed):
        return
    filled = placeholders.fill(text, dict.fromkeys(placeholders.NAMES, "x"))
    try:
        parts = urlsplit(filled)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in ("http", "https") or not filled.isprintable() or " " in filled:
        findings.report(path, "not an http(s) address", "write https://api.example.org/send")
    elif not (is_hostname(str(parts.hostname)) or ":" in str(parts.hostname)):
        findings.report(path, "not the name of a host", "write https://api.example.org/send")
    elif "{" in text.partition("//")[2].partition("/")[0]:
        findings.report(path, "a message must not choose the host it is sent to", "write the host itself")
    elif parts.username is not None:
        findings.report(path, "credentials do not belong into an address", "write login: and password: beside request")
    elif parts.scheme == "http" and not gateway.insecure and not is_private_host(str(parts.hostname)):
        fix = "write https://, or insecure: true beside request"
        findings.report(path, "the key would travel readable by all over http://", fix)


def _check_text(text: str, path: Path, findings: Findings, *, allowed: frozenset[str]) -> bool:
    """Check the places of one text; tell whether they are good."""
    try:
        names = placeholders.names_of(text)
    except ValueError as error:
        findings.report_error(path, error)
        return False
    if wrong := sorted(names - allowed):
        known = ", ".join(sorted(allowed))
        findings.report(path, f"{{{{ {wrong[0]} }}}} is not known there", f"there are {known}")
        return False
    return True


def _check_places_are_filled(gateway: Gateway, path: Path, findings: Findings) -> None:
    """Report a place for a credential that is not given."""
    calls = {"request": gateway.request, "status": gateway.status, "lookup": gateway.lookup, "balance": gateway.balance}
    given = {name for name in _ACCOUNT if getattr(gateway, name) is not None}
    for key, call in calls.items():
        if call is None:
            continue
        for text in texts_of(call):
            try:
                missing = sorted(placeholders.names_of(text) & _ACCOUNT - given)
            except ValueError:
                continue
            if missing:
                findings.report(
                    (*path, missing[0]), f"is missing, and {key} has a place for it", f"write {missing[0]}:"
                )
    if (gateway.login is None) != (gateway.password is None):
        missing_key = "login" if gateway.login is None else "password"
        findings.report((*path, missing_key), "is missing, and the other of the two is given", f"write {missing_key}:")


# ------------------------------------------------------------------------------------------------ answers
def _check_match(match: HttpMatch, path: Path, findings: Findings) -> None:
    for number, status in enumerate(match.status):
        place = findings.item_path((*path, "status"), number)
        if not _STATUS.fullmatch(status):
            findings.report(place, "not an HTTP status", "write 200 or 4xx")
        elif status.startswith("3"):
            findings.report(
                place, "redirects are never followed: what they answer is unknown", "write the final address"
            )
    for name, value in match.json_.items():
        _check((*path, "json", name), parse_path, name, findings)
        if value.startswith(PREFIX):
            _check((*path, "json", name), compile_pattern, value.removeprefix(PREFIX), findings)
    if match.body is not None:
        _check((*path, "body"), compile_pattern, match.body, findings)


def _check_could_be_a_success(gateway: Gateway, path: Path, findings: Findings) -> None:
    """Report an error that fits every answer a success could be."""
    success = gateway.success
    for number, error in enumerate(gateway.errors):
        if error.body is not None or any(success.json_.get(name) != value for name, value in error.json_.items()):
            continue
        wanted, refused = set(success.status or ["2xx"]), set(error.status)
        hidden = not refused or all(one in refused or f"{one[0]}xx" in refused for one in wanted)
        if hidden and (refused or error.json_):
            fix = "make the error narrower, or write json: into success"
            findings.report((*path, "errors", number), "fits every success, so nothing would ever be sent", fix)


def _check_place(text: str | None, path: Path, findings: Findings) -> None:
    if text is not None:
        _check(path, parse_place, text, findings)


def _check(path: Path, parse: Callable[[str], object], text: str, findings: Findings) -> None:
    try:
        parse(text)
    except ValueError as error:
        findings.report_error(path, error)


def _is_reply(text: str) -> bool:
    return _REPLY.fullmatch(text) is not None


# --------------------------------------------------------------------------------- questions and callbacks
def _check_questions(gateway: Gateway, path: Path, findings: Findings) -> None:
    names = frozenset(placeholders.NAMES) - _OF_A_MESSAGE
    for key, question, wanted in (("status", gateway.status, "gateway_id"), ("lookup", gateway.lookup, "id")):
        if question is None:
            continue
        place = (*path, key)
        _check_call(question, place, gateway, findings, allowed=names if key == "status" else names - _LATER)
        _check_meanings(question, place, findings)
        if question.not_found is not None:
            _check_match(question.not_found, (*place, "not_found"), findings)
        _check_place(question.gateway_id, (*place, "gateway_id"), findings)
        try:
            used = set().union(*map(placeholders.names_of, texts_of(question)))
        except ValueError:
            continue  # reported where it stands
        if wanted not in used:
            fix = f"write {{{{ {wanted} }}}} where the question names the message"
            findings.report(place, "asks about no message in particular", fix)
    if gateway.status is not None and gateway.id is None:
        findings.report((*path, "status"), "there is no id to ask by", "write id: beside it", needs=((*path, "id"),))


def _check_meanings(question: HttpQuestion, path: Path, findings: Findings) -> None:
    if not question.json_ and not question.words:
        findings.report(path, "no answer would mean anything", "write json: or words:")
    for name, words in question.json_.items():
        _check((*path, "json", name), parse_path, name, findings)
        _check_states(words, (*path, "json", name), findings)
    for pattern in question.words:
        _check((*path, "words", pattern), compile_pattern, pattern, findings)
    _check_states(question.words, (*path, "words"), findings)


def _check_states(words: Mapping[str, str], path: Path, findings: Findings) -> None:
    for word, state in words.items():
        if state not in STATES:
            findings.report((*path, word), f'"{state}" is no state', f"write {', '.join(STATES)}")


def _check_callback(gateway: Gateway, path: Path, findings: Findings) -> None:
    place, callback = (*path, "callback"), gateway.callback
    if callback is None:
        return
    if gateway.callback_path is None:
        findings.report(place, "there is no callback page", "write callback_path: beside it", needs=(place,))
    if callback.gateway_id is None and callback.id is None:
        findings.report(place, "names no message", "write gateway_id: or id:, the field that has it")
    if callback.gateway_id is not None and gateway.id is None:
        findings.report(
            (*place, "gateway_id"), "that id is not known when a message was sent", "write id: beside callback"
        )
    if not callback.state:
        findings.report((*place, "state"), "no report would mean anything", "write field: {word: delivered}")
    for field, words in callback.state.items():
        _check_states(words, (*place, "state", field), findings)

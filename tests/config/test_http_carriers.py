"""A carrier's definition that could never succeed is refused when it is read, with the place and what to write instead."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mailbridge.config.show import effective_yaml
from tests.gateway.test_carrier_contract import LOOK_ALIKE
from tests.support.carriers import NAMES, defined, read


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the example with *value* at *path*; None removes what is there."""
    data = copy.deepcopy(LOOK_ALIKE)
    *way, last = path.split("/")
    inner: Any = data
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner.setdefault(step, {})
    if value is None:
        inner.pop(last)
    elif isinstance(inner, list):
        inner.append(value)
    else:
        inner[last] = value
    return {"gateways": {"second": data}}


WRONG = [
    ("request", None, "gateways.second.request: is missing"),
    ("request/url", "https://h/{{ fone }}", "gateways.second.request.url: {{ fone }}, which nothing is called; there are phone"),
    ("request/url", "https://{{ digits }}.example.org/", "a message must not choose the host"),
    ("request/url", "http://api.example.org/", "would travel readable by all over http://"),
    ("request/url", "https://user:pw@api.example.org/", "credentials do not belong into an address"),
    ("request/url", "ftp://api.example.org/", "not an http(s) address"),
    ("request/url", "https://h/{{ gateway_id }}", "{{ gateway_id }} is not known there"),
    ("request/method", "GET", "GET has no body"),
    ("request/method", "DELETE", "write GET, POST or PUT"),
    ("request/json", {"to": "{{ phone }}"}, "{{ text }} stands nowhere in it"),
    ("request/json", {"text": "{{ text }}"}, "{{ phone }} or {{ digits }} stands nowhere in it"),
    ("request/json", {"a": [{"b": "{{ nobody }} {{ text }} {{ phone }}"}]}, "gateways.second.request.json.a[0].b: {{ nobody }}"),
    ("request/form", {"a": "b"}, "stands beside another body"),
    ("request/headers/Content-Length", "5", "is written by the program that sends"),
    ("request/headers/a b", "5", "not a header's name"),
    ("request/headers/X-Key", "{{ apikey }}", "gateways.second.apikey: is missing, and request has a place for it"),
    ("login", "acme", "gateways.second.password: is missing, and the other of the two is given"),
    ("success/status", "OK", "not an HTTP status"),
    ("success/status", "302", "redirects are never followed"),
    ("success/body", "(", "not an RE2 pattern"),
    ("success/json", {"a..b": "1"}, "not a path through JSON"),
    ("success/json", {"a": "re:("}, "not an RE2 pattern"),
    ("id", "message_id", "not a place in an answer"),
    ("price", "body:cost [0-9]+", "a pattern without a (group)"),
    ("errors/0", {"class": "refused"}, "fits every answer, so nothing could ever be sent"),
    ("errors/0", {"status": "2xx", "class": "refused"}, "fits every success, so nothing would ever be sent"),
    ("errors/0", {"json": {"ok": "true"}, "class": "refused"}, "fits every success"),
    ("errors/0", {"status": "400", "class": "never"}, "write refused, no_route, deferred, suspended or unknown"),
    ("errors/0", {"status": "400", "class": "deferred", "reply": "550 5.1.3"}, "only a refusal is answered"),
    ("errors/0", {"status": "400", "class": "refused", "reply": "450 4.1.3"}, "not a refusal of SMTP"),
    ("status", {"url": "https://h/{{ gateway_id }}"}, "no answer would mean anything"),
    ("status", {"url": "https://h/x", "json": {"s": {"d": "delivered"}}}, "asks about no message in particular"),
    ("status", {"url": "https://h/{{ gateway_id }}", "json": {"s": {"d": "arrived"}}}, '"arrived" is no state'),
    ("lookup/form", {"ref": "{{ gateway_id }}"}, "{{ gateway_id }} is not known there"),
    ("lookup/not_found", {"status": "nope"}, "not an HTTP status"),
    ("balance", {"url": "https://h/x", "amount": "all"}, "not a place in an answer"),
    ("balance", {"url": "https://h/{{ text }}", "amount": "json:a"}, "{{ text }} is not known there"),
    ("callback", {"gateway_id": "id", "state": {"s": {"d": "delivered"}}}, "there is no callback page"),
    ("callback", {"state": {"s": {"d": "delivered"}}}, "there is no callback page"),
    ("callback_secret", "x", "belongs to type: smsc"),
    ("url", "https://smsc.ru", "belongs to type: smsc"),
    ("batch", "5", "belongs to type: smsc"),
    ("type", "smtp", "write smsc or http"),
    ("proxy", "socks5://h", "not an http:// address"),
    ("reqest", {}, 'did you mean "request"?'),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), WRONG)
def test_what_could_never_succeed_is_refused(path, value, expected, tmp_path):
    """One problem, at its line, with what to write instead."""
    data = changed(path, value)
    problems = read(data, tmp_path, problems=True)
    assert any(expected in problem for problem in problems), problems
    assert len(problems) == 1
    file, line, _ = problems[0].split(":", 2)
    assert file.endswith("carrier.yaml")
    assert line.isdigit()


def test_a_body_in_which_a_text_would_break_out_is_refused(tmp_path):
    """JSON and XML by hand need the filter that writes them."""
    for body, fix in (
        ('{"to":"{{ phone }}","text":"{{ text }}"}', "{{ text|json }}"),
        ("<a>{{ phone }}{{ text }}</a>", "{{ text|xml }}"),
    ):
        data = changed("request/json", None)
        data["gateways"]["second"]["request"]["body"] = body
        (problem,) = read(data, tmp_path, problems=True)
        assert fix in problem
        data["gateways"]["second"]["request"]["body"] = body.replace('"{{ text }}"', "{{ text|json }}").replace(
            "{{ text }}", "{{ text|xml }}"
        )
        assert read(data, tmp_path, problems=True) == []


def test_keys_of_a_described_carrier_are_refused_for_smsc(tmp_path):
    """They would be ignored."""
    data = {"gateways": {"main": {"login": "a", "password": "b", "success": {"status": 200}}}}
    (problem,) = read(data, tmp_path, problems=True)
    assert "gateways.main.success: belongs to type: http" in problem


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_taken(name):
    """Every file of contrib/carriers is a configuration as it stands."""
    assert defined(name).type == "http"


def test_nothing_secret_is_shown(tmp_path):
    """``config show`` hides all values of a definition: any may be a key."""
    data = changed("request/json", {"key": "canary-1", "t": "{{ text }}", "p": "{{ phone }}"})
    data["gateways"]["second"]["request"]["headers"] = {"X-Key": "canary-2"}
    data["gateways"]["second"]["request"]["url"] = "https://api.example.org/canary-3"
    shown = effective_yaml(read(data, tmp_path))
    assert "canary" not in shown
    assert "message_id" in shown

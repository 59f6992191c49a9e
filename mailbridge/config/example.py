"""``config example``: every key with its default and meaning, made from the outline; loads as it stands.

What must be written and what is usually written stands plain; the rest is commented out with its default.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from mailbridge.config.model import Config
from mailbridge.config.outline import Entry, Items, Keys, Mapping, Scalar, describe, entries, write
from mailbridge.config.sections import Section
from mailbridge.config.show import inline, scalar_text

_WIDTH = 110
_HEAD = """\
# The configuration of mailbridge. Keys that are commented out show their defaults.
# Durations: 300ms 10s 5m 4h 2d. Sizes: 512KB 10MB. Plain words stay words: off, no and +79991234567 are text.
# ${NAME} and ${NAME:-default} take an environment variable; $${ stands for the text ${.
# A secret x may be given as x_file: /run/secrets/x, and every value by MAILBRIDGE__SECTION__KEY.
# `mailbridge check-config` reports every problem at once.
"""

#: written plain, as YAML; every other key is commented out
_WRITTEN = {
    "smtp.hostname": "sms.example.org",
    "smtp.listen[].address": "127.0.0.1:2525",
    "smtp.domains": "{sms.local: sms}",
    "smtp.reply": "verdict",
    "numbers.region": "RU",
    "message.text": '"{{ subject }}: {{ body }}"',
    "limits.phone": "[1/1m, 5/15m, 12/1h, 20/3h]",
    "gateways.<name>.type": "smsc",
    "gateways.<name>.login": "${SMSC_LOGIN:-acme}",
    "gateways.<name>.password": "${SMSC_PASSWORD:-secret}",
    "queue.url": "sqlite:////var/lib/mailbridge/queue.db",
    "queue.lifetime": "24h",
    "bounce.mode": "log",
    "web.listen": "127.0.0.1:8080",
    "log.format": "json",
}
#: what the user's own name is in the example; else ``main``
_NAMES = {"people": "anna", "aliases": "oncall", "rotas": "ops", "quiet_hours": "night", "escalation": "ops"}
#: carriers described in YAML have a page of their own, with whole examples
ELSEWHERE = frozenset(
    f"gateways.<name>.{key}"
    for key in (
        *("request", "success", "id", "errors", "error_text", "price", "status", "lookup", "balance"),
        "callback",
    )
)
#: nobody needs them to begin with
_HIDDEN = frozenset({"users", "rules", "routes", "digest.default", "api", *_NAMES})
#: what a commented key shows where its default is nothing
_SHOWN = {
    "smtp.listen[].certificate": "/etc/mailbridge/cert.pem",
    "smtp.listen[].private_key": "/etc/mailbridge/key.pem",
    "users[].name": "zabbix",
    "users[].password": '"$argon2id$..."',
    "users[].senders": "[ZABBIX]",
    "users[].numbers": '["+7"]',
    "users[].gateways": "[main]",
    "users[].limits": "[100/1h]",
    "users[].budget.day.parts": "100",
    "users[].budget.day.money": "400",
    "users[].budget.month.parts": "1000",
    "users[].budget.month.money": "4000",
    "numbers.allow": '["+7"]',
    "message.sender": "ALERT",
    "limits.client": "[300/1h]",
    "limits.user": "[100/1h]",
    "limits.sender": "[100/1h]",
    "limits.budget.day.parts": "500",
    "limits.budget.day.money": "2000",
    "limits.budget.month.money": "20000",
    "limits.budget.month.parts": "5000",
    "limits.budget.user.day.parts": "100",
    "limits.budget.user.day.money": "400",
    "limits.budget.user.month.parts": "1000",
    "limits.budget.user.month.money": "4000",
    "limits.budget.phone.day.parts": "50",
    "limits.budget.phone.day.money": "200",
    "limits.budget.phone.month.parts": "500",
    "limits.budget.phone.month.money": "2000",
    "limits.budget.timezone": "Europe/Moscow",
    "gateways.<name>.apikey": "${SMSC_APIKEY}",
    "gateways.<name>.callback_path": "4f9c2b7d1e60",
    "gateways.<name>.callback_secret": "${SMSC_SECRET}",
    "gateways.<name>.proxy": "http://proxy.example.org:3128",
    "gateways.<name>.currency": "RUR",
    "routes[].gateways": "[main]",
    "bounce.from": "mailer-daemon@sms.example.org",
    "bounce.smarthost": "smtp://127.0.0.1:25",
    "bounce.operator": "duty@example.org",
    "message.fit": "cheapest",
    "rules[].name": "night pages",
    "rules[].match.from": '"nagios@*"',
    "rules[].match.recipient": '"*@sms.local"',
    "rules[].match.subject": '"re:(?i)critical"',
    "rules[].match.text": '"*disk*"',
    "rules[].match.header": '{X-Priority: "1*"}',
    "rules[].match.network": "10.0.0.0/8",
    "rules[].match.user": "zabbix",
    "rules[].match.time": '"22:00-08:00"',
    "rules[].match.days": "mon-fri",
    "rules[].match.profile": "nagios",
    "rules[].match.severity": "critical",
    "rules[].match.event": "problem",
    "rules[].set.text": '"{{ short }}"',
    "rules[].set.sender": "NAGIOS",
    "rules[].set.translit": "auto",
    "rules[].set.fit": "cheapest",
    "rules[].set.profile": "generic",
    "rules[].set.max_parts": "1",
    "rules[].set.channel": "sms",
    "rules[].set.flash": "true",
    "rules[].set.time": "9-21",
    "rules[].set.valid": "2h",
    "rules[].set.lifetime": "1h",
    "rules[].set.gateway": "main",
    "rules[].to": "[+oncall]",
    "rules[].action": "digest",
    "rules[].quiet": "night",
    "rules[].escalation": "off",
    "rules[].timezone": "Europe/Moscow",
    "people.<name>.phone": '"+79991234567"',
    "aliases.<name>.rota": "ops",
    "aliases.<name>.escalation": "ops",
    "escalation.<name>.then[].call": "oncall",
    "inbound.poll": "1m",
    "self_test.to": "[oncall]",
    "self_test.timezone": "Europe/Moscow",
    "heartbeat.url": "https://hc-ping.com/your-own-check",
    "quiet_hours.<name>.from": '"23:00"',
    "quiet_hours.<name>.to": '"07:00"',
    "rotas.<name>.start": "2026-01-05 09:00",
    "rotas.<name>.members": "[anna]",
    "rotas.<name>.timezone": "Europe/Moscow",
    "web.url": "https://sms.example.org",
    "api.tokens[].name": "grafana",
    "api.tokens[].token": '"$argon2id$..."',
    "api.webhooks[].url": "https://example.org/hook",
    "api.webhooks[].events": "[undelivered, expired]",
    "api.webhooks[].secret": "${HOOK_SECRET}",
}


def example() -> str:
    """Return the commented example."""
    return _HEAD + "\n".join(_section(Config, "", "", commented=False)) + "\n"


def _section(model: type[Section], path: str, indent: str, *, commented: bool) -> Iterator[str]:
    for entry in entries(model):
        here = f"{path}.{entry.key}" if path else entry.key
        if not path:
            yield ""
        if here in ELSEWHERE:
            continue
        hidden = commented or here in _HIDDEN
        yield from _comment(entry, indent)
        yield from _key(entry, here, indent, commented=hidden)


def _comment(entry: Entry, indent: str) -> Iterator[str]:
    words = entry.description
    if isinstance(entry.kind, Scalar) and (len(entry.kind.choices) > 1 or entry.kind.minimum is not None):
        words = f"{words} ({describe(entry.kind)})"
    elif entry.required:
        words = f"{words} (required)"
    yield from (f"{indent}# {line}" for line in textwrap.wrap(words, _WIDTH - len(indent)))


def _key(entry: Entry, path: str, indent: str, *, commented: bool) -> Iterator[str]:
    mark = "#" if commented else ""
    match entry.kind:
        case Keys(model=model):
            hidden = commented or path in _HIDDEN
            yield f"{indent}{'#' if hidden else ''}{entry.key}:"
            yield from _section(model, path, f"{indent}  ", commented=hidden)
        case Mapping(value=Keys(model=model)):
            yield f"{indent}{mark}{entry.key}:"
            yield f"{indent}  {mark}{_NAMES.get(path, 'main')}:"
            yield from _section(model, f"{path}.<name>", f"{indent}    ", commented=commented)
        case Items(item=Keys(model=model)):
            yield f"{indent}{mark}{entry.key}:"
            yield from _dashed(list(_section(model, f"{path}[]", f"{indent}    ", commented=commented)), indent)
        case _:
            is_written = path in _WRITTEN and not commented
            text = _WRITTEN.get(path) or _SHOWN.get(path) or _default(entry)
            yield f"{indent}{'' if is_written else '#'}{entry.key}: {text}"


def _dashed(lines: list[str], indent: str) -> Iterator[str]:
    """Put the dash of a list item before its first key."""
    is_open = False
    for line in lines:
        body = line.strip()
        if is_open or body.startswith("# "):
            yield line
            continue
        is_open = True
        mark = "#" if body.startswith("#") else ""
        yield f"{indent}  {mark}- {body.removeprefix('#')}"


def _default(entry: Entry) -> str:
    value: Any = entry.default
    if value in (None, ""):
        return '""'
    if isinstance(value, list | dict):
        return inline(value)
    text = write(value, entry.kind)
    return scalar_text(text) if entry.kind == Scalar(kind="text") else text

"""What keys mean together, section by section; everything a single key cannot know about itself.

Runs last, on a model whose wrong keys were replaced by their defaults.
The only I/O is looking whether named TLS files can be read, and reading the folder of device profiles.
"""

from __future__ import annotations

import re

from mailbridge.config.addresses import TcpAddress, parse_listen
from mailbridge.config.check_alarms import check_alarms
from mailbridge.config.check_api import check_api
from mailbridge.config.check_gateways import check_gateways
from mailbridge.config.check_people import check_people
from mailbridge.config.check_rules import check_rules
from mailbridge.config.check_smtp import SENDER, SENDER_HINT, check_prefixes, check_smtp
from mailbridge.config.model import Config, MessageDefaults
from mailbridge.config.problems import Problem
from mailbridge.config.regions import REGIONS
from mailbridge.config.smarthost import parse_smarthost
from mailbridge.config.tree import Findings

_ADDRESS = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def check(config: Config, findings: Findings, *, need_gateway: bool) -> list[Problem]:
    """Report every combination that cannot work or is not safe; return the problems of other files it names."""
    check_smtp(config, findings)
    _check_numbers(config, findings)
    _check_message(config, findings)
    check_gateways(config, findings, need_gateway=need_gateway)
    check_people(config, findings)
    check_alarms(config, findings)
    _check_queue(config, findings)
    _check_bounce(config, findings)
    _check_web(config, findings)
    check_api(config, findings)
    return check_rules(config, findings)


def _check_numbers(config: Config, findings: Findings) -> None:
    numbers = config.numbers
    if numbers.region not in REGIONS:
        path = ("numbers", "region")
        findings.report(
            path, f"{findings.shown(path) or 'this'} is not a country", "write a two-letter code such as RU or KZ"
        )
    if numbers.allow is not None and not numbers.allow:
        findings.report(
            ("numbers", "allow"), "no number could be sent to", 'write prefixes such as "+7", or leave it out'
        )
    check_prefixes(numbers.allow or (), ("numbers", "allow"), findings)


def _check_message(config: Config, findings: Findings) -> None:
    message = config.message
    if message.sender and not SENDER.fullmatch(message.sender):
        findings.report(("message", "sender"), "not a sender name", SENDER_HINT)
    # Jinja2 takes longer to load than the rest of the work; the default is known to be right.
    if message.text == MessageDefaults.model_fields["text"].default:
        return
    from mailbridge.config.template import template_error  # noqa: PLC0415 - see above

    if trouble := template_error(message.text):
        # A template made of variables may hold what must not be repeated.
        is_shown = bool(findings.shown(("message", "text")))
        hidden = "not a usable Jinja2 template, as the environment completes it; write it out"
        findings.report_error(("message", "text"), ValueError(trouble if is_shown else hidden))


def _check_queue(config: Config, findings: Findings) -> None:
    queue, path = config.queue, ("queue", "url")
    if queue.url.startswith(("postgresql:", "postgres:", "postgresql+", "postgres+")):
        _check_postgresql(queue.url, findings)
    elif not queue.url.startswith("sqlite:///"):
        findings.report(
            path,
            "not a place for the queue",
            "write sqlite:////var/lib/mailbridge/queue.db (four slashes), or postgresql://user@host/database",
        )
    elif queue.url.removeprefix("sqlite:///").strip("/") in ("", ":memory:") or queue.url.endswith("/"):
        findings.report(path, "names no file", "write sqlite:////var/lib/mailbridge/queue.db")
    elif "?" in queue.url or not queue.url.isprintable():
        findings.report(path, "has options or odd characters", "write the file's path alone after sqlite:///")
    if queue.retry_min > queue.retry_max:
        findings.report(
            ("queue", "retry_max"), "is less than retry_min", "make it the larger one", needs=(("queue", "retry_min"),)
        )


def _check_postgresql(url: str, findings: Findings) -> None:
    """Look at the shape; what hosts and options mean is libpq's to say."""
    path, hint = ("queue", "url"), "write postgresql://user@host/database"
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres"}:
        findings.report(path, "has the name of a driver in it", hint)
    elif not rest.partition("?")[0].partition("/")[2].strip("/"):
        findings.report(path, "names no database", hint)
    elif not url.isprintable() or " " in url:
        findings.report(path, "has odd characters", hint)


def _check_bounce(config: Config, findings: Findings) -> None:
    bounce = config.bounce
    if bounce.smarthost is not None:
        try:
            parse_smarthost(bounce.smarthost)
        except ValueError as error:
            findings.report_error(("bounce", "smarthost"), error)
    elif bounce.mode == "mail":
        findings.report(
            ("bounce", "smarthost"), "is missing, and mode is mail", "write smtp://127.0.0.1:25, or mode: log"
        )
    for key, address in (("from", bounce.from_), ("operator", bounce.operator)):
        if address and not _ADDRESS.fullmatch(address):
            findings.report(("bounce", key), "not a mail address", "write one such as duty@example.org, without a name")
    if bounce.mode == "mail" and not bounce.from_ and not config.smtp.hostname:
        findings.report(
            ("bounce", "from"),
            "is missing, and there is no smtp.hostname to make one of",
            "write mailer-daemon@sms.example.org",
            needs=(("smtp", "hostname"), ("bounce", "mode"), ("bounce", "smarthost")),
        )


def _check_web(config: Config, findings: Findings) -> None:
    if config.web.listen is None:
        return
    path = ("web", "listen")
    try:
        address = parse_listen(config.web.listen, usual_port=8080)
    except ValueError as error:
        findings.report_error(path, error)
        return
    if not isinstance(address, TcpAddress):
        findings.report(path, "HTTP on a unix socket is not available in this version", "write 127.0.0.1:8080, or off")
        return
    for index, listener in enumerate(config.smtp.listen):
        is_shared = listener.address.lower() == config.web.listen.lower()
        if is_shared and address.port != 0:
            needs = (("smtp", "listen", index, "address"),)
            findings.report(path, f"the same address as smtp.listen[{index}]", "choose another port", needs=needs)

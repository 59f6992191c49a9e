"""What the keys of ``api`` and of ``web.url`` mean together."""

from __future__ import annotations

from mailbridge.config.addresses import is_private_host
from mailbridge.config.check_gateways import split_url
from mailbridge.config.check_smtp import ARGON2ID
from mailbridge.config.model import Config
from mailbridge.config.tree import Findings, Path

#: shorter secrets can be guessed from a signed event
_MIN_SECRET = 16


def check_api(config: Config, findings: Findings) -> None:
    """Report what cannot work or is not safe."""
    seen: dict[str, int] = {}
    for index, token in enumerate(config.api.tokens):
        path: Path = ("api", "tokens", index)
        if token.name in seen:
            needs = (("api", "tokens", seen[token.name], "name"),)
            findings.report(
                (*path, "name"), f"the same name as tokens[{seen[token.name]}]", "keep one of them", needs=needs
            )
        seen.setdefault(token.name, index)
        if not ARGON2ID.fullmatch(token.token.get_secret_value()):
            findings.report((*path, "token"), "not an argon2id hash", "write what `mailbridge hash-password` prints")
        if not token.scopes:
            findings.report((*path, "scopes"), "it may do nothing", "write [read], [read, send] or all three")
    for index in range(len(config.api.webhooks)):
        _check_webhook(config, index, findings)
    if config.api.tokens and config.web.listen is None:
        findings.report(
            ("api", "tokens"), "there is no HTTP listener", "write web: {listen: 127.0.0.1:8080}",
            needs=(("web", "listen"),),
        )  # fmt: skip
    _check_url(config, findings)


def _check_webhook(config: Config, index: int, findings: Findings) -> None:
    webhook, path = config.api.webhooks[index], ("api", "webhooks", index)
    parts = split_url(webhook.url)
    if parts is None or parts.scheme not in ("https", "http"):
        findings.report((*path, "url"), "not an http(s) address", "write https://example.org/hook")
    elif parts.fragment:
        findings.report((*path, "url"), "a fragment is never sent", "leave out what follows the #")
    elif parts.scheme == "http" and not is_private_host(str(parts.hostname)):
        findings.report((*path, "url"), "texts and numbers would travel readable by all", "write https://")
    if len(webhook.secret.get_secret_value()) < _MIN_SECRET:
        findings.report(
            (*path, "secret"), "is easily guessed", f"write at least {_MIN_SECRET} characters: openssl rand -hex 32"
        )


def _check_url(config: Config, findings: Findings) -> None:
    if not config.web.url:
        return
    parts = split_url(config.web.url)
    if parts is None or parts.scheme not in ("https", "http") or parts.path.strip("/") or parts.query or parts.username:
        findings.report(("web", "url"), "not an http(s) address of a host", "write https://sms.example.org")

"""What the keys of a gateway mean together: how it is reached, who we are there, and its callbacks."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from mailbridge.config.addresses import is_hostname, is_private_host
from mailbridge.config.check_http import HTTP_KEYS, SMSC_KEYS, check_http
from mailbridge.config.model import Config, Gateway, SmscGateway
from mailbridge.config.tree import Findings, Path

#: a gateway's name is part of its callback address, of metrics and of ``MAILBRIDGE__`` variables
_NAME = re.compile(r"(?!.*__)[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
#: what a guesser must not find while we look on: only a signature allows less
_MIN_CALLBACK_PATH = 4


def check_gateways(config: Config, findings: Findings, *, need_gateway: bool) -> None:
    """Report what is wrong with the gateways and routes; *need_gateway*: that there is no gateway, too."""
    check_routes(config, findings)
    if not config.gateways and need_gateway:
        findings.report(
            ("gateways",), "no gateway", 'write "main:" below gateways:, with login and password or with apikey'
        )
    for name, gateway in config.gateways.items():
        path: Path = ("gateways", name)
        if not _NAME.fullmatch(name):
            findings.report(path, "not a usable gateway name", "use letters, digits, single _ . and -, such as main")
            continue
        if findings.is_broken((*path, "type")):
            continue
        _check_kind(gateway, path, findings)
        if gateway.type == "http":
            check_http(gateway, path, findings)
        else:
            _check_urls(gateway, path, findings)
            _check_credentials(gateway, path, findings)
        _check_callback(gateway, path, findings)
        if gateway.proxy is not None:
            _check_proxy(gateway.proxy, (*path, "proxy"), findings)


def check_routes(config: Config, findings: Findings) -> None:
    """Report routes that lead nowhere, or that no message can come to."""
    ends_at: int | None = None
    for number, route in enumerate(config.routes):
        path: Path = ("routes", number)
        for index, name in enumerate(route.gateways):
            if name not in config.gateways:
                place = findings.item_path((*path, "gateways"), index)
                known = ", ".join(config.gateways) or "none yet"
                findings.report(place, f'no gateway is called "{name}"', f"there are {known}", needs=(("gateways",),))
        if not route.gateways:
            findings.report((*path, "gateways"), "names no gateway", "write one or more, best first")
        for index, prefix in enumerate(route.match.prefix):
            if not _PREFIX.fullmatch(prefix):
                place = findings.item_path((*path, "match", "prefix"), index)
                findings.report(place, "not the beginning of a number", 'write "+7" or "+7999"')
        if ends_at is not None:
            findings.report(path, f"routes[{ends_at}] takes all numbers before it", "put it before that one")
        elif not route.match.prefix:
            ends_at = number
    if config.routes and ends_at is None:
        last: Path = ("routes", len(config.routes) - 1)
        findings.report(last, "numbers that no route is for would never leave", "add a last one: {gateways: [...]}")


def _check_kind(gateway: Gateway, path: Path, findings: Findings) -> None:
    """Report keys of another kind of carrier: they would be ignored."""
    others, kind = (SMSC_KEYS, "smsc") if gateway.type == "http" else (HTTP_KEYS, "http")
    for key in others:
        place, default = (*path, key), Gateway.model_fields[key].get_default(call_default_factory=True)
        if getattr(gateway, key) != default:
            findings.report(place, f"belongs to type: {kind}", f"remove it, or write type: {kind}")


def _check_urls(gateway: SmscGateway, path: Path, findings: Findings) -> None:
    if not gateway.url:
        findings.report((*path, "url"), "no address", "write https://smsc.ru, or leave it out")
    for number, url in enumerate(gateway.url):
        place = findings.item_path((*path, "url"), number)
        parts = split_url(url)
        if parts is None or parts.scheme not in ("https", "http"):
            findings.report(place, "not an http(s) address", "write https://smsc.ru")
        elif parts.username is not None or parts.password is not None:
            findings.report(place, "credentials do not belong into an address", "write login: and password: beside it")
        elif parts.query or parts.fragment:
            findings.report(place, "something follows the host", "write the address alone, such as https://smsc.ru")
        elif parts.scheme == "http" and not gateway.insecure and not is_private_host(str(parts.hostname)):
            findings.report(
                place,
                "the password would travel readable by all over http://",
                "write https://, or insecure: true beside it",
            )


def split_url(url: str) -> SplitResult | None:
    """Return the parts of *url*, None where it is no URL with a usable host."""
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return None
    host = str(parts.hostname)
    if not usable or not url.isprintable() or " " in url or not (is_hostname(host) or ":" in host):
        return None
    return parts


def _check_credentials(gateway: SmscGateway, path: Path, findings: Findings) -> None:
    password = (*path, "password")
    apikey = (*path, "apikey")
    login = (*path, "login")
    if gateway.apikey is not None and (gateway.login is not None or gateway.password is not None):
        findings.report(apikey, "given beside login and password", "keep one of the two ways", needs=(login, password))
        return
    if gateway.apikey is not None:
        if not gateway.apikey.get_secret_value():
            findings.report(apikey, "is empty", "write the key of your account")
        return
    everything = (login, password, apikey)
    if not gateway.login and gateway.password is None:
        findings.report(path, "no credentials", "write login: and password:, or apikey:", needs=everything)
    elif not gateway.login:
        findings.report(login, "is missing, and password is given", "write the account's name")
    elif gateway.password is None or not gateway.password.get_secret_value():
        findings.report(
            password, "is missing or empty, and login is given", "write the account's password, or password_file:"
        )


def _check_callback(gateway: SmscGateway, path: Path, findings: Findings) -> None:
    place = (*path, "callback_path")
    if gateway.callback_path is None:
        if gateway.callback_secret is not None:
            findings.report(
                (*path, "callback_secret"),
                "there is no callback page",
                "write callback_path: beside it",
                needs=(place,),
            )
        return
    segment = gateway.callback_path.get_secret_value()
    if not _is_segment(segment):
        fix = "use letters, digits, - and _; others stand percent-encoded in the address"
        findings.report(place, "cannot be the last part of an address", fix)
    elif len(segment) < _MIN_CALLBACK_PATH and gateway.callback_secret is None:
        needs = ((*path, "callback_secret"),)
        fix = f"write at least {_MIN_CALLBACK_PATH} characters nobody can guess"
        findings.report(place, "is easily guessed, and signatures are not checked", fix, needs=needs)


def _is_segment(text: str) -> bool:
    """Tell whether a URL's path may end in *text*, percent-encoded; ``.`` and ``..`` are taken for folders."""
    return text.isprintable() and not set(text) & set(" /\\") and text not in {"", ".", ".."}


def _check_proxy(url: str, path: Path, findings: Findings) -> None:
    parts = split_url(url)
    if parts is None or parts.scheme != "http":
        findings.report(path, "not an http:// address", "write http://proxy.example.org:3128")

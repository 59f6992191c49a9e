"""What the keys of ``smtp`` and ``users`` mean together: no open relay, no passwords in the clear."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path as FilePath

from mailbridge.config import future
from mailbridge.config.addresses import TcpAddress, UnixAddress, is_hostname, parse_listen
from mailbridge.config.model import Config, Listener
from mailbridge.config.regions import REGIONS
from mailbridge.config.tree import Findings, Path, get
from mailbridge.config.validate import suggest

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: nets wider than this are taken for the whole internet: 10.0.0.0/8 and fc00::/7 are the widest private ones
_WIDEST = {4: 8, 6: 7}
#: PHC string format, as argon2-cffi writes it
ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
#: smsc-api.md 9.3: 11 characters, or 15 digits
SENDER = re.compile(r"\+?[0-9]{1,15}|[ -~]{1,11}")
SENDER_HINT = "write up to 11 Latin characters, or up to 15 digits"
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
#: RFC 2033 section 5
_SMTP_PORT = 25


def check_smtp(config: Config, findings: Findings) -> None:
    """Report what is wrong with the door."""
    smtp = config.smtp
    if smtp.hostname and not is_hostname(smtp.hostname):
        findings.report(("smtp", "hostname"), "not a host name", "write a name such as sms.example.org, without port")
    if not smtp.listen:
        findings.report(
            ("smtp", "listen"), "no listener", 'write "- address: 127.0.0.1:2525" below it, or leave it out'
        )
    seen: dict[str, int] = {}
    for index, listener in enumerate(smtp.listen):
        _check_listener(config, index, findings)
        _check_duplicate(listener, index, seen, findings)
    _check_domains(config, findings)
    _check_users(config, findings)


def _check_duplicate(listener: Listener, index: int, seen: dict[str, int], findings: Findings) -> None:
    path = ("smtp", "listen", index, "address")
    key = listener.address.lower()
    if key in seen and not key.endswith(":0"):
        findings.report(
            path,
            f"the same address as smtp.listen[{seen[key]}]",
            "give each listener its own",
            needs=(("smtp", "listen", seen[key], "address"),),
        )
    seen.setdefault(key, index)


def _check_listener(config: Config, index: int, findings: Findings) -> None:
    path: Path = ("smtp", "listen", index)
    listener = config.smtp.listen[index]
    address = None
    try:
        address = parse_listen(listener.address)
    except ValueError as error:
        findings.report_error((*path, "address"), error)
    networks = _check_allow(listener, path, findings)
    _check_proxies(listener, path, findings)
    if listener.any_login and not listener.legacy:
        findings.report((*path, "any_login"), "is for old devices alone", "write legacy: true, or remove it")
    if listener.any_login and listener.auth == "required":
        findings.report(
            (*path, "any_login"), "lets anybody in where auth is required", "write auth: off or optional, or remove it"
        )
    is_tcp = not isinstance(address, UnixAddress)
    if isinstance(address, TcpAddress) and listener.protocol == "lmtp" and address.port == _SMTP_PORT:
        findings.report((*path, "protocol"), "LMTP must not use port 25 (RFC 2033)", "choose another port, such as 24")
    if isinstance(address, UnixAddress) and listener.tls != "off":
        findings.report((*path, "tls"), "a unix socket needs no TLS", "write off")
    _check_tls(listener, path, findings)
    if is_tcp:
        _check_relay(listener, path, networks, findings)
    _check_auth(config, index, networks if is_tcp else [], findings)


def _check_allow(listener: Listener, path: Path, findings: Findings) -> list[_Network]:
    if not listener.allow:
        findings.report((*path, "allow"), "nobody may send here", "write the clients' networks, such as 10.0.0.0/8")
    return _parse_networks(listener.allow, (*path, "allow"), findings)


def _check_proxies(listener: Listener, path: Path, findings: Findings) -> None:
    top: Path = (*path, "proxies")
    if listener.proxies and listener.address.startswith("unix:"):
        findings.report(top, "a unix socket has no proxies", "remove it")
    for number, network in enumerate(_parse_networks(listener.proxies, top, findings)):
        if network.prefixlen < _WIDEST[network.version]:
            findings.report(
                findings.item_path(top, number), f"{network} lets anybody name any client", "list the proxies alone"
            )


def _parse_networks(texts: list[str], path: Path, findings: Findings) -> list[_Network]:
    networks: list[_Network] = []
    for number, text in enumerate(texts):
        place = findings.item_path(path, number)
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError:
            findings.report(place, f"{findings.shown(place) or 'this'} is not a network", _network_hint(text))
    return networks


def _network_hint(text: str) -> str:
    try:
        return f"write {ipaddress.ip_network(text, strict=False)}, or {text.partition('/')[0]} for that one address"
    except ValueError:
        return "write a network such as 10.0.0.0/8 or an address such as 192.0.2.7"


def _check_tls(listener: Listener, path: Path, findings: Findings) -> None:
    if listener.tls == "off":
        return
    for key in ("certificate", "private_key"):
        name = getattr(listener, key)
        if not name:
            findings.report(
                (*path, key),
                f"is missing, and tls is {listener.tls}",
                "write the path of a PEM file",
                needs=((*path, "tls"),),
            )
        elif trouble := _unreadable(name):
            findings.report(
                (*path, key), f"the file {name} cannot be read: {trouble}", "write the path of a readable PEM file"
            )
    if findings.is_broken((*path, "certificate")) or findings.is_broken((*path, "private_key")):
        return
    _check_pair(str(listener.certificate), str(listener.private_key), path, findings)


def _unreadable(name: str) -> str:
    try:
        with FilePath(name).open("rb"):
            return ""
    except OSError as error:
        return error.strerror or "no such file"
    except ValueError:
        return "not a file name"


def _check_pair(certificate: str, private_key: str, path: Path, findings: Findings) -> None:
    import ssl  # noqa: PLC0415 - 10 ms that only a listener with TLS is worth

    try:
        # Without a callable, OpenSSL would ask for a pass phrase on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            findings.report(
                (*path, "private_key"), "does not belong to the certificate", "write the key it was issued for"
            )
        else:
            findings.report(
                (*path, "certificate"),
                "the certificate and private_key cannot be loaded",
                "both must be PEM, the key without a pass phrase",
            )


def _check_relay(listener: Listener, path: Path, networks: list[_Network], findings: Findings) -> None:
    if listener.auth == "required":
        return
    for number, network in enumerate(networks):
        if network.prefixlen < _WIDEST[network.version]:
            findings.report(
                findings.item_path((*path, "allow"), number),
                f"an open relay: {network} lets the whole internet send SMS without signing in",
                "list your own networks, or write auth: required",
                needs=((*path, "auth"),),
            )


def _check_auth(config: Config, index: int, networks: list[_Network], findings: Findings) -> None:
    path: Path = ("smtp", "listen", index)
    listener = config.smtp.listen[index]
    if listener.auth == "off":
        return
    if not config.users:
        findings.report(
            (*path, "auth"), "nobody can sign in, there are no users", "add users:, or write off", needs=(("users",),)
        )
    if listener.tls == "off" and not listener.auth_without_tls and not all(network.is_loopback for network in networks):
        findings.report(
            (*path, "auth"),
            "passwords would travel readable by all, tls is off",
            "write tls: starttls, required or implicit, or allow loopback clients alone",
            needs=((*path, "tls"), (*path, "allow")),
        )


def _check_domains(config: Config, findings: Findings) -> None:
    top: Path = ("smtp", "domains")
    if not config.smtp.domains:
        findings.report(top, "no domain", 'write "sms.local: sms" below it, or leave it out')
    written = get(findings.root, top)
    if written is not None and isinstance(written.value, dict):
        spelled = Counter(key.lower() for key in written.value)
        for key in written.value:
            if spelled[key.lower()] > 1:
                findings.report((*top, key), "the same domain in other letters is given, too", "keep one of them")
    for domain, channel in config.smtp.domains.items():
        if not is_hostname(domain):
            findings.report((*top, domain), "not a domain", "write a name such as sms.local")
        if channel in future.CHANNELS:
            findings.report((*top, domain), f'the channel "{channel}" is {future.NOT_AVAILABLE}', "write sms")
        elif channel != "sms":
            findings.report((*top, domain), "unknown channel", suggest(channel, ("sms",)) or "write sms")


def check_prefixes(words: Sequence[str], path: Path, findings: Findings) -> None:
    """Report what of *words*, written at *path*, is neither a prefix nor a country."""
    for number, word in enumerate(words):
        place = findings.item_path(path, number)
        if not _PREFIX.fullmatch(word) and word not in REGIONS:
            hint = f'write "+{word}"' if word.isascii() and word.isdigit() else 'write "+7" or a country such as KZ'
            findings.report(place, f"{findings.shown(place) or 'this'} is neither a prefix nor a country", hint)


def _check_users(config: Config, findings: Findings) -> None:
    seen: dict[str, int] = {}
    for index, user in enumerate(config.users):
        path: Path = ("users", index)
        if user.name in seen:
            needs = (("users", seen[user.name], "name"),)
            findings.report(
                (*path, "name"), f"the same name as users[{seen[user.name]}]", "keep one of them", needs=needs
            )
        seen.setdefault(user.name, index)
        if not ARGON2ID.fullmatch(user.password.get_secret_value()):
            findings.report((*path, "password"), "not an argon2id hash", "write what `mailbridge hash-password` prints")
        _check_rights(config, index, findings)


def _check_rights(config: Config, index: int, findings: Findings) -> None:
    """Report what a user may ask for and nobody could give."""
    path: Path = ("users", index)
    user = config.users[index]
    for key, given in (("senders", user.senders), ("gateways", user.gateways)):
        if given is not None and not given:
            findings.report((*path, key), "leaves nothing", "write at least one, or leave it out")
    for number, name in enumerate(user.senders or ()):
        if not SENDER.fullmatch(name):
            place = findings.item_path((*path, "senders"), number)
            findings.report(place, "not a sender name", SENDER_HINT)
    check_prefixes(user.numbers or (), (*path, "numbers"), findings)
    for number, name in enumerate(user.gateways or ()):
        if name not in config.gateways:
            place = findings.item_path((*path, "gateways"), number)
            hint = suggest(name, config.gateways) or f"there are {', '.join(config.gateways) or 'none yet'}"
            words = f"no gateway is called {findings.shown(place) or 'so'}"
            findings.report(place, words, hint, needs=(("gateways",),))

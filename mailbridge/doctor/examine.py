"""``doctor``: everything the bridge stands on, asked one by one from this machine; stores, sends and changes nothing.

Beside the flow: it asks the parts by what they offer anyway. Each check says what it found and, where that is not well,
what to do. A gateway is asked for its balance once, so a wrong password costs one of the tries it counts.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from mailbridge.clock import Clock
from mailbridge.config.model import Config
from mailbridge.config.model import Gateway as GatewaySettings
from mailbridge.config.smarthost import parse_smarthost
from mailbridge.doctor.check import STEP_S, Check
from mailbridge.doctor.door import check_certificate, check_listener, check_web
from mailbridge.errors import RelayError, StoreError
from mailbridge.gateway.contract import NO_QUESTION, Gateway
from mailbridge.model.outcome import Balance, Suspended
from mailbridge.model.state import State
from mailbridge.queue.contract import Store
from mailbridge.report.relay import Relay
from mailbridge.spool import waiting

#: the gateway dates messages and we date attempts: further apart, "valid until" and quiet hours are wrong
_CLOCK_OFF_S = 60.0
_FREE_BYTES = 200 * 2**20
_WAITS_LONG_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is examined."""

    config: Config
    gateways: Sequence[Gateway]
    #: opens the queue beside a running bridge
    open_store: Callable[[], AbstractAsyncContextManager[Store]]
    #: the queue is there already
    is_made: bool
    clock: Clock
    #: where mailbridge-sendmail keeps mails on this machine
    spool: Path | None = None


async def examine(patient: Patient) -> AsyncIterator[Check]:
    """Yield each check as it is done, in the order of a mail's way."""
    config = patient.config
    for listener in config.smtp.listen:
        yield await check_listener(listener)
        if listener.certificate is not None:
            yield await asyncio.to_thread(check_certificate, listener, patient.clock.now())
    if config.web.listen is not None:
        yield await check_web(config.web.listen)
    yield await _queue(patient)
    if patient.spool is not None:
        yield _spool(patient.spool, patient.clock.now())
    for host in _hosts(config):
        yield await _name(host)
    yield await _clock(config, patient.clock)
    for gateway in patient.gateways:
        yield await _gateway(gateway, config.gateways[gateway.name].type)
    if config.bounce.smarthost:
        yield await _smarthost(config)


# -------------------------------------------------------------------------------------------------- the queue
async def _queue(patient: Patient) -> Check:
    path = _file_of(patient.config.queue.url)
    if path is not None:
        trouble = _room_trouble(path, is_made=patient.is_made)
        if trouble:
            return trouble
    if not patient.is_made:
        return Check(name="queue", ok=True, detail=f"{path}: not there yet, made at the first start")
    try:
        async with asyncio.timeout(STEP_S), patient.open_store() as store:
            counts, oldest_at = await store.count_states(), await store.oldest_waiting_at()
    except (StoreError, TimeoutError) as error:
        return Check(
            name="queue", ok=False, detail=str(error) or "no answer",
            fix="docs/howto/install.md, A damaged queue; for PostgreSQL see that it runs and takes us",
        )  # fmt: skip
    waits = sum(counts.get(state, 0) for state in (State.QUEUED, State.SENDING, State.UNKNOWN))
    held = counts.get(State.HELD, 0)
    age_s = 0.0 if oldest_at is None else (patient.clock.now() - oldest_at).total_seconds()
    detail = f"{waits} wait{f', the oldest for {age_s:.0f} s' if waits else ''}; {held} held"
    if held:
        return Check(
            name="queue", ok=False, detail=detail,
            fix="`mailbridge queue list --state held`, then `mailbridge queue release ID` or `cancel ID`",
        )  # fmt: skip
    if age_s > _WAITS_LONG_S:
        return Check(name="queue", ok=False, detail=detail, fix="`mailbridge queue list --state queued` says why")
    return Check(name="queue", ok=True, detail=detail)


def _file_of(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _room_trouble(path: Path, *, is_made: bool) -> Check | None:
    folder = path.parent
    if not folder.is_dir():
        return Check(name="queue", ok=False, detail=f"no folder {folder}", fix=f"mkdir -p {folder}, for its user alone")
    if not os.access(path if is_made else folder, os.W_OK) or not os.access(folder, os.W_OK):
        return Check(
            name="queue", ok=False, detail=f"{path if is_made else folder} may not be written by this user",
            fix="run doctor as the user of the bridge: runuser -u mailbridge -- mailbridge doctor",
        )  # fmt: skip
    free = shutil.disk_usage(folder).free
    if free < _FREE_BYTES:
        detail = f"{free // 2**20} MB free where {path} lies"
        return Check(name="queue", ok=False, detail=detail, fix="make room: with a full disk mails are answered 452")
    return None


def _spool(spool: Path, now: datetime) -> Check:
    paths = waiting(spool)
    if not paths:
        return Check(name="spool", ok=True, detail=f"{spool}: nothing waits")
    oldest_s = now.timestamp() - float(paths[0].name.partition("-")[0])
    return Check(
        name="spool", ok=False, detail=f"{spool}: {len(paths)} mails of sendmail wait, the oldest for {oldest_s:.0f} s",
        fix="`mailbridge-sendmail -q` sends them; mailbridge-spool.timer does so by itself",
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------- the way out
def _hosts(config: Config) -> list[str]:
    """Return the names to be looked up, each once; a proxy looks up the gateway's by itself."""
    hosts = []
    for settings in config.gateways.values():
        hosts += [settings.proxy] if settings.proxy else addresses_of(settings)
    if config.bounce.smarthost:
        hosts.append(f"smtp://{parse_smarthost(config.bounce.smarthost).host}")
    return list(dict.fromkeys(urlsplit(url).hostname or "" for url in hosts))


def addresses_of(settings: GatewaySettings) -> list[str]:
    """Return where a carrier's servers are, without a path: of any kind of carrier, those that are fixed."""
    if settings.type != "http":
        return list(settings.url)
    parts = urlsplit(settings.request.url.get_secret_value() if settings.request is not None else "")
    # without the user some carriers want in it
    netloc = parts.netloc.rpartition("@")[2]
    return [f"{parts.scheme}://{netloc}/"] if netloc and "{" not in netloc else []


async def _name(host: str) -> Check:
    try:
        async with asyncio.timeout(STEP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return Check(name=f"name {host}", ok=False, detail="not resolved", fix="see /etc/resolv.conf, and the name")
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    return Check(name=f"name {host}", ok=True, detail=", ".join(addresses[:4]))


async def _clock(config: Config, clock: Clock) -> Check:
    for settings in config.gateways.values():
        where = next(iter(addresses_of(settings)), "")
        theirs = await asyncio.to_thread(_date_at, where, settings.proxy) if where else None
        if theirs is None:
            continue
        off_s = (clock.now() - theirs).total_seconds()
        host = urlsplit(where).hostname
        if abs(off_s) > _CLOCK_OFF_S:
            way = "ahead of" if off_s > 0 else "behind"
            detail = f"{abs(off_s):.0f} s {way} {host}"
            return Check(name="clock", ok=False, detail=detail, fix="set it: timedatectl set-ntp true, or chrony")
        return Check(name="clock", ok=True, detail=f"agrees with {host}")
    return Check(name="clock", ok=True, detail="not compared: no gateway told the time")


def _date_at(address: str, proxy: str | None) -> datetime | None:
    """Return the time in the header of the gateway's page, which nobody has to sign in for; None without an answer."""
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _NoRedirect)
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - http or https, as the loader has checked
    try:
        with opener.open(request, timeout=STEP_S) as answer:
            date = answer.headers.get("Date", "")
    except urllib.error.HTTPError as error:
        with error:
            date = error.headers.get("Date", "")
    except (OSError, ValueError):
        return None
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    return theirs if theirs.tzinfo is not None else theirs.replace(tzinfo=UTC)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        """Follow none: the header is what was asked for."""


async def _gateway(gateway: Gateway, kind: str) -> Check:
    name = f"gateway {gateway.name}"
    answer = await gateway.balance()
    if isinstance(answer, Balance):
        detail = f"login and password are right; {answer.balance:.2f} {answer.currency}".rstrip()
        is_empty = answer.balance + (answer.credit or 0) <= 0
        return Check(name=name, ok=not is_empty, detail=detail, fix="top the account up" if is_empty else "")
    error = answer.error if isinstance(answer, Suspended) else answer
    if error.code == NO_QUESTION:
        return Check(name=name, ok=True, detail="not asked: it has no `balance` to ask for")
    if kind == "smsc" and error.code.isdigit():
        fix = _SMSC_FIXES.get(error.code, "docs/reference/error-codes.md has every code")
    else:
        fix = _NO_WAY if kind == "smsc" else _OTHERS
    return Check(name=name, ok=False, detail=f"{error.code}: {error.text}", fix=fix)


_NO_WAY = "this machine does not get an answer: see its way out, firewall and gateways.*.proxy"
_OTHERS = f"see its request and balance in the configuration, and the carrier's own list of answers; or {_NO_WAY}"
#: SMSC's codes (smsc-api.md 2.7) that a person can do something about
_SMSC_FIXES = {
    "2": "set login and password (or apikey), or allow this machine's address in the account's settings",
    "3": "top the account up",
    "4": "too many wrong logins from this address: set the password right and wait, the gateway forgets by itself",
}


async def _smarthost(config: Config) -> Check:
    smarthost = parse_smarthost(config.bounce.smarthost or "")
    relay = Relay(smarthost, hostname=config.smtp.hostname, connect_timeout_s=STEP_S, command_timeout_s=STEP_S)
    try:
        async with relay:
            await relay.greet()
    except RelayError as error:
        return Check(
            name="smarthost", ok=False, detail=str(error),
            fix="see bounce.smarthost; until then failures stand in the log alone, and bounces wait",
        )  # fmt: skip
    return Check(name="smarthost", ok=True, detail=f"{smarthost} takes our mail")

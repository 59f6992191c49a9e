"""Handing a mail to the bridge's SMTP door from outside, and keeping it while the bridge takes none.

Place: below ``sendmail.py``, which reads the command line and the mail. It knows nothing of the bridge but its address.
"""

from __future__ import annotations

import dataclasses
import os
import smtplib
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailbridge.spool import Kept, SpoolError, finish, put, set_aside, taken, waiting

SETTINGS_FILE = Path("/etc/mailbridge/sendmail.yaml")
DEFAULT_SMTP = "127.0.0.1:2525"
SPOOL = Path("/var/spool/mailbridge")

OK, FAILED, USAGE, TEMPFAIL = 0, 1, 2, 75
TIMEOUT_S = 60.0
#: one user's call does not do the work of the whole queue
_MOST_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the bridge is, and where mails are kept while it is not."""

    host: str
    port: int
    #: of bare recipients
    domain: str
    #: None: nothing is kept
    spool: Path | None

    @property
    def where(self) -> str:
        """The bridge's address, for people."""
        return f"{self.host}:{self.port}"


def read_settings() -> Settings:
    """Return what the environment says, else the file, else the defaults. Raises ValueError."""
    data: Mapping[str, object] = {}
    if SETTINGS_FILE.exists():
        import yaml

        try:
            data = dict(yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8")) or {})
        except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
            raise ValueError(f"{SETTINGS_FILE} cannot be read") from error

    def setting(name: str, default: str) -> str:
        return os.environ.get(f"MAILBRIDGE_{name.upper()}") or str(data.get(name) or default)

    where = setting("smtp", DEFAULT_SMTP)
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"MAILBRIDGE_SMTP: {where}: write host:port")
    # YAML reads a bare `off` as false
    named = "off" if data.get("spool") is False else setting("spool", "")
    return Settings(
        host=host.strip("[]"), port=int(port), domain=setting("domain", "sms.local"),
        spool=None if named == "off" else Path(named) if named else _usual_spool(),
    )  # fmt: skip


def _usual_spool() -> Path | None:
    """Return the machine's spool where somebody has made it, who also sees to it that it is emptied."""
    return SPOOL if SPOOL.is_dir() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What became of handing a mail over: who is to be tried again, and why; who never, in the bridge's words."""

    #: the bridge answered at all
    reached: bool = True
    later: tuple[str, ...] = ()
    because: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


def hand_over(settings: Settings, kept: Kept) -> Handed:
    """Give *kept* to the bridge; never raises for what the bridge or the network does."""
    try:
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
        try:
            answers = smtp.sendmail(kept.sender, list(kept.recipients), kept.content)
        finally:
            # a goodbye that goes wrong changes nothing of what was said before
            with suppress(OSError, smtplib.SMTPException):
                smtp.quit()
    except smtplib.SMTPRecipientsRefused as error:
        answers = error.recipients
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error
        octets = said if isinstance(said, bytes) else said.encode()
        answers = dict.fromkeys(kept.recipients, (error.smtp_code, octets))
    except (OSError, smtplib.SMTPException):
        return Handed(reached=False, later=kept.recipients, because=f"the bridge at {settings.where} cannot be reached")
    except UnicodeError:
        # smtplib writes ASCII alone, and what is no address here is none for the bridge
        answers = dict.fromkeys(kept.recipients, (553, b"an address that is not ASCII"))
    words = {
        address: f"{address}: {number} {text.decode('ascii', 'replace')}" for address, (number, text) in answers.items()
    }
    # 421 and -1, a line cut in the middle, are no answers to the mail
    later = tuple(address for address, (number, _) in answers.items() if not 500 <= number < 600)
    return Handed(
        later=later,
        because="; ".join(words[address] for address in later),
        refused={address: said for address, said in words.items() if address not in later},
    )


def keep(settings: Settings, kept: Kept, because: str) -> int:
    """Put *kept* into the spool; return the exit code, 75 where that cannot be."""
    if settings.spool is None:
        return say(because, TEMPFAIL)
    try:
        path = put(settings.spool, kept)
    except SpoolError as error:
        return say(f"{because}; it cannot be kept either: {error}", TEMPFAIL)
    tell(f"{because}; kept as {path}, goes out later")
    return OK


def send_own(settings: Settings) -> None:
    """Send what this user could not hand over before: the bridge is there again."""
    if settings.spool is not None:
        for path in waiting(settings.spool, uid=os.geteuid())[:_MOST_AT_ONCE]:
            if not send_kept(settings, path):
                return


def send_kept(settings: Settings, path: Path) -> bool:
    """Try the mail at *path*; return whether the bridge is there. What it refuses for good is set aside."""
    with taken(path) as kept:
        if kept is None:
            return True
        handed = hand_over(settings, kept)
        if handed.later == kept.recipients:
            return handed.reached
        try:
            if handed.later:
                # a second one before the first is gone: in between, the bridge knows it by its Message-ID
                put(path.parent.parent, dataclasses.replace(kept, recipients=handed.later))
            if handed.refused:
                tell(f"{'; '.join(handed.refused.values())}; kept as {set_aside(path)}")
            else:
                finish(path)
        except (OSError, SpoolError) as error:
            tell(f"{path}: {error}")
        return handed.reached


def run_queue(every_s: float | None) -> int:
    """``-q``: send what waits, of everybody whose mails may be read; every *every_s* seconds for ever, or once."""
    while True:
        try:
            settings = read_settings()
        except ValueError as error:
            return say(str(error), USAGE)
        for path in waiting(settings.spool) if settings.spool is not None else ():
            if not send_kept(settings, path):
                break
        left = 0 if settings.spool is None else len(waiting(settings.spool))
        if every_s is None:
            return say(f"{left} still waiting for the bridge at {settings.where}", TEMPFAIL) if left else OK
        time.sleep(every_s)


def show_queue() -> int:
    """``-bp``: say what waits."""
    try:
        settings = read_settings()
    except ValueError as error:
        return say(str(error), USAGE)
    for path in waiting(settings.spool) if settings.spool is not None else ():
        with taken(path) as kept:
            if kept is not None:
                at = datetime.fromtimestamp(kept.at, UTC).isoformat(timespec="seconds")
                print(f"{path.name}  {at}  {kept.sender or '<>'} -> {', '.join(kept.recipients)}")
    return OK


def say(words: str, code: int) -> int:
    """Tell the caller, and return *code*."""
    print(f"sendmail: {words}", file=sys.stderr)
    return code


def tell(words: str) -> None:
    """Say it to whoever looks: a person at a terminal, else the system's log; a caller's log is for failures."""
    if sys.stderr.isatty():
        print(f"sendmail: {words}", file=sys.stderr)
    else:
        import syslog

        syslog.openlog("mailbridge-sendmail", 0, syslog.LOG_MAIL)
        syslog.syslog(syslog.LOG_WARNING, words)

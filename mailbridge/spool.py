"""Mails that ``mailbridge-sendmail`` could not hand over, as files until they can be.

Beside the flow: it is the client's, so it works where the bridge is on another machine, and needs nothing of it.
Standard library only. It must not send anything, nor read what another user put where it did not belong.

A spool is a folder that anybody may write to (mode 3777, as /tmp, with a group that is inherited). Each user has a
folder of his own in it, named by his uid, that only he and the spool's group can read. One file is one mail: a line of
JSON, ``{"sender", "recipients", "at"}``, then its octets. A file is there as a whole or not at all, and is on disk when
``put`` returns.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_SUFFIX = ".mail"
#: refused for good by the bridge: kept for a person, and not tried again
REFUSED_SUFFIX = ".refused"
_FOLDER_MODE = 0o770
_FILE_MODE = 0o660
_UMASK = 0o007


class SpoolError(Exception):
    """The spool cannot be used; the words say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One mail that waits."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    #: Unix time when it was given to us
    at: float


def put(spool: Path, kept: Kept) -> Path:
    """Store *kept* in the caller's own folder, on disk before this returns. Raises SpoolError."""
    name = f"{kept.at:017.6f}-{secrets.token_hex(4)}{_SUFFIX}"
    head = json.dumps({"sender": kept.sender, "recipients": kept.recipients, "at": kept.at})
    before = os.umask(_UMASK)
    try:
        folder = _own_folder(spool)
        hidden, path = folder / f".{name}", folder / name
        with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as file:
            file.write(head.encode() + b"\n" + kept.content)
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)
        _sync(folder)
    except OSError as error:
        raise SpoolError(f"{spool}: {error.strerror}") from error
    finally:
        os.umask(before)
    return path


def _own_folder(spool: Path) -> Path:
    folder = spool / str(os.geteuid())
    with suppress(FileExistsError):
        # the mode is not set again afterwards: that would take the inherited group away
        folder.mkdir(_FOLDER_MODE)
        _sync(spool)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SpoolError(f"{folder}: belongs to somebody else")
    return folder


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def waiting(spool: Path, *, uid: int | None = None) -> Sequence[Path]:
    """Return the mails that wait, oldest first: of everybody whose folder can be read, or of *uid* alone."""
    found: list[Path] = []
    for folder in _folders(spool, uid):
        with suppress(OSError):
            found += [entry for entry in folder.iterdir() if _is_waiting(entry)]
    return sorted(found, key=lambda path: path.name)


def _folders(spool: Path, uid: int | None) -> Sequence[Path]:
    if uid is not None:
        return [spool / str(uid)]
    try:
        return [entry for entry in spool.iterdir() if entry.name.isdigit() and not entry.is_symlink()]
    except OSError:
        return []


def _is_waiting(path: Path) -> bool:
    return path.suffix == _SUFFIX and not path.name.startswith(".")


@contextmanager
def taken(path: Path) -> Iterator[Kept | None]:
    """Hold *path* alone and give what is in it; None where another holds it, or it is not its folder's owner's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        # read only what its owner put there: no other name of a file that he may not read himself
        found = os.fstat(file.fileno())
        owner = path.parent.stat().st_uid
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != owner:
            yield None
            return
        yield _read(file.read())


def _read(data: bytes) -> Kept | None:
    head, _, content = data.partition(b"\n")
    try:
        fields = json.loads(head)
        sender, recipients, at = str(fields["sender"]), tuple(map(str, fields["recipients"])), float(fields["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return Kept(sender=sender, recipients=recipients, content=content, at=at)


def finish(path: Path) -> None:
    """Remove *path*: its mail is with the bridge."""
    path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Keep *path* for a person, under a name that is not tried again."""
    return path.rename(path.with_suffix(REFUSED_SUFFIX))

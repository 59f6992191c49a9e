"""Room on the disk that is kept back, so that a full disk stops new mails and not those that were promised.

Sending a message writes to the queue, too: the intent before the request, the outcome after it. No SQL is written here.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

#: enough for the log of some transactions and for the history of some hundred messages
RESERVE_BYTES = 1_048_576


class Reserve:
    """A file that takes room and holds nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: nothing is to be done for it: it has its room, or this disk keeps none back
        self.stands = False

    def take(self) -> None:
        """Have the room kept back, all of it or nothing. Raises OSError where there is none."""
        try:
            self._allocate()
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            # an aid that a disk does not offer must keep no mail out
        self.stands = True

    def _allocate(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError:
            os.ftruncate(fd, 0)
            raise
        finally:
            os.close(fd)

    def give_up(self) -> None:
        """Let the queue have the room."""
        self.stands = False
        with suppress(OSError):
            os.truncate(self._path, 0)

    def remove(self) -> None:
        """Leave nothing behind."""
        self.stands = False
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

"""The octets after 354: find the end, undo the dots, judge the line ends (RFC 5321 4.1.1.4, 4.5.2, 2.3.8).

One bounded buffer and a few passes in C over it: neither an endless line nor a mail of blank lines costs more than
its length. It must not read from a socket: chunks are fed to it.
"""

from __future__ import annotations

_END = b"\r\n.\r\n"
_OVERLAP = len(_END) - 1
_BARE_END = b"\n.\n"


class ContentReader:
    """Collects one mail's content.

    Only CRLF.CRLF ends a mail, whatever else looks like it: every laxer reading lets a second mail be smuggled
    in. What is over the limit is read on and thrown away, so that the client gets to see why it was refused.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # the CRLF that ended the DATA command is the first half of the end of an empty mail
        self._buffer = bytearray(b"\r\n")
        self._stuffed_count = 0
        self._dropped_bytes = 0
        #: what came after the end: commands that were pipelined
        self.rest = b""
        #: over the limit, or given up
        self.too_big = False
        #: thrown away for want of memory, which is not the mail's fault
        self.was_given_up = False

    @property
    def buffered_bytes(self) -> int:
        """Octets held in memory."""
        return len(self._buffer)

    @property
    def received_bytes(self) -> int:
        """Octets taken so far, kept or not."""
        return len(self._buffer) + self._dropped_bytes

    @property
    def is_hopeless(self) -> bool:
        """True when twice the limit came without an end: stop listening."""
        return self.too_big and self.received_bytes > 2 * self._max_bytes + _OVERLAP

    def feed(self, chunk: bytes) -> bool:
        """Take the next octets; return True when the mail has ended."""
        buffer = self._buffer
        before = len(buffer)
        buffer += chunk
        end = buffer.find(_END, max(0, before - _OVERLAP))
        if end >= 0:
            self.rest = bytes(buffer[end + len(_END) :])
            del buffer[end + 2 :]
        # a stuffed dot that ended before this chunk began at least three octets before it
        self._stuffed_count += buffer.count(b"\r\n.", max(0, before - 2))
        if self.too_big or len(buffer) - 2 - self._stuffed_count > self._max_bytes:
            self._drop()
        return end >= 0

    def give_up(self) -> None:
        """Throw the mail away and read on to its end."""
        self.was_given_up = self.was_given_up or not self.too_big
        self._drop()

    def _drop(self) -> None:
        """Keep only what the end could begin in."""
        self.too_big = True
        dropped_bytes = max(0, len(self._buffer) - _OVERLAP)
        del self._buffer[:dropped_bytes]
        self._dropped_bytes += dropped_bytes

    def settle_line_ends(self) -> bool:
        """Make every line end CRLF, as RFC 5321 2.3.8 has it; printers and scripts send bare LF.

        Return False where a line of a single dot came with other ends: what smuggling lives on, and nothing else.
        """
        buffer = self._buffer
        pairs = buffer.count(b"\r\n")
        if buffer.count(b"\n") == pairs and buffer.count(b"\r") == pairs:
            return True
        # twice: a CRLF written through a text file in Windows' way is CRCRLF
        lines = buffer.replace(b"\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._buffer = lines.replace(b"\n", b"\r\n")
        self._stuffed_count = self._buffer.count(b"\r\n.")
        return _END not in self._buffer

    def count_received(self) -> int:
        """Return the number of Received fields in the header: the hops of a loop (RFC 5321 6.3)."""
        end = self._buffer.find(b"\r\n\r\n", 2)
        header = self._buffer if end < 0 else self._buffer[:end]
        return header.lower().count(b"\nreceived:")

    def content(self) -> bytes:
        """Return the mail, dots unstuffed."""
        if self._stuffed_count:
            return bytes(self._buffer.replace(b"\r\n.", b"\r\n")[2:])
        return bytes(memoryview(self._buffer)[2:])


class BareLfReader(ContentReader):
    """For a legacy listener's client that ended DATA itself with LF alone: LF.LF ends its mail, too.

    No mail server passes a mail on with such a command, so none can be made to carry a second mail in the first. All
    the same the mail is refused when anything follows its end at once, or when any CR is in it.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._is_doubtful = False

    def feed(self, chunk: bytes) -> bool:
        """Take the next octets; return True when the mail has ended."""
        before = len(self._buffer)
        if super().feed(chunk):
            return True
        buffer = self._buffer
        # the CRLF in front is ours; its LF may be the first of the end
        end = buffer.find(_BARE_END, max(1, min(before, len(buffer) - _OVERLAP) - len(_BARE_END) + 1))
        if end < 0:
            return False
        self._is_doubtful = end + len(_BARE_END) < len(buffer) or (not self.too_big and buffer.find(b"\r", 2) >= 0)
        del buffer[end + 1 :]
        return True

    def settle_line_ends(self) -> bool:
        """Make every line end CRLF; False where a second mail could hide."""
        return not self._is_doubtful and super().settle_line_ends()

"""How every method asks: parameters in, one of the documented shapes out, refusals as exceptions.

Between the methods and the line. Must not know what a parameter means.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TypeVar

from mailbridge.errors import OutcomeUnknown
from mailbridge.gateway.smsc import codec
from mailbridge.gateway.smsc.answers import Failure, Garbage, Json
from mailbridge.gateway.smsc.api import reading
from mailbridge.gateway.smsc.api.errors import NothingFound, error_of
from mailbridge.gateway.smsc.api.options import Pairs
from mailbridge.gateway.smsc.api.values import Done, Fields
from mailbridge.gateway.smsc.codec import File
from mailbridge.gateway.smsc.line import Line
from mailbridge.gateway.transport import FORM, HttpAnswer

#: ten thousand inbound messages, or a thousand of the history with their texts
_MAX_LIST_BYTES = 16 * 1024 * 1024
_T = TypeVar("_T")


class Asker:
    """Puts questions and commands on a line."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def object(
        self, method: str, pairs: Pairs, *, files: Sequence[File] = (), table: str | None = None
    ) -> Fields:
        """Return the one object of an answer; the first of a list.

        Raises: SmscError as the gateway refuses; NotSent, OutcomeUnknown as the transport, and for an answer that is
        neither a refusal nor an object.
        """
        found = reading.items_of(self._read(method, await self._post(method, pairs, files), table))
        if not found:
            raise OutcomeUnknown("not a known answer")
        return found[0]

    async def any(self, method: str, pairs: Pairs) -> Json:
        """Return an answer in whatever shape of JSON it has. Raises: as ``object``."""
        return self._read(method, await self._post(method, pairs), None)

    async def list(self, method: str, pairs: Pairs, read: Callable[[Fields], _T]) -> list[_T]:
        """Return all objects of a list; "nothing found" is an empty one. Raises: as ``object``."""
        try:
            parsed = self._read(method, await self._post(method, pairs), None)
        except NothingFound:
            return []
        return reading.read_all(parsed, read)

    async def command(self, method: str, pairs: Pairs, *, files: Sequence[File] = (), table: str | None = None) -> Done:
        """Have something done. Raises: as ``object``."""
        answer = await self._post(method, pairs, files)
        bare = answer.body.strip(b"\xef\xbb\xbf\x00 \t\r\n")
        if bare in (b"", b"OK"):
            return Done(confirmed=bool(bare))
        found = reading.items_of(self._read(method, answer, table))
        fields = found[0] if found else {}
        return Done(id=reading.text_of(fields, "id"), raw=fields)

    async def text(self, method: str, pairs: Pairs) -> str:
        """Return an answer's body as text, where its shape is not documented. Raises: as ``object``."""
        answer = await self._post(method, pairs)
        parsed = self._line.parse(answer)
        if isinstance(parsed, Failure):
            raise error_of(method, parsed.code, parsed.text, parsed.id)
        return answer.body.decode(errors="replace")

    async def _post(self, method: str, pairs: Pairs, files: Sequence[File] = ()) -> HttpAnswer:
        """Ask, and return what the gateway itself said."""
        if files:
            body, content_type = codec.multipart_body(self._line.prefix, pairs, files, _boundary(pairs, files))
        else:
            body, content_type = codec.form_body(self._line.prefix, pairs), FORM
        answer = await self._line.post(method, body, content_type=content_type, max_answer_bytes=_MAX_LIST_BYTES)
        if lost := self._line.trouble(answer):
            raise OutcomeUnknown(f"{lost.error.code}: {lost.error.text}")
        return answer

    def _read(self, method: str, answer: HttpAnswer, table: str | None) -> Json:
        match self._line.parse(answer):
            case Failure(code=code, text=text, id=message_id):
                raise error_of(method, code, text, message_id, table=table)
            case Garbage(why=why):
                raise OutcomeUnknown(why)
            case parsed:
                return parsed


def _boundary(pairs: Pairs, files: Sequence[File]) -> str:
    """Return a line no value of the request holds."""
    while True:
        boundary = secrets.token_hex(16)
        if not any(boundary in value for _, value in pairs) and not any(boundary.encode() in f.content for f in files):
            return boundary

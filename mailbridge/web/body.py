"""Reading a request's body up to a bound of its page, whatever the listener's own is."""

from __future__ import annotations

from aiohttp import web

from mailbridge.errors import MailbridgeError

_CHUNK_BYTES = 64 * 1024


class TooLarge(MailbridgeError):
    """The body is longer than the page takes."""


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """Return the body. Raises: TooLarge, before more than that was read."""
    if (request.content_length or 0) > most_bytes:
        raise TooLarge
    pieces, size = [], 0
    async for piece in request.content.iter_chunked(_CHUNK_BYTES):
        size += len(piece)
        if size > most_bytes:
            raise TooLarge
        pieces.append(piece)
    return b"".join(pieces)

"""Pages of servers on loopback, read without stopping the loop they may run in."""

from __future__ import annotations

import asyncio
import urllib.request


async def fetched(url: str) -> str:
    """Return the page at *url*. Raises OSError; urllib's HTTPError is one."""

    def fetch() -> str:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    return await asyncio.to_thread(fetch)

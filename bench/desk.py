"""How fast the desk and the API answer over a long history: medians of whole requests to a running bridge.

    python -m bench.desk FILE [--count 1000000] [--rounds 15]

FILE is made with ``bench.fill`` where it is not there. Prints a table; exits with 1 where a median is above 200 ms.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.cookiejar import CookieJar
from pathlib import Path

from argon2 import PasswordHasher

from bench import fill, rig

#: issue 7: list, search and plots answer within that at the median
LIMIT_MS = 200.0
_PASSWORD = secrets.token_hex(8)
#: name -> path
PAGES: Mapping[str, str] = {
    "list": "/",
    "list, next page": "/?cursor={newest}",
    "what went wrong": "/?state=failed",
    "of one state that all have": "/?state=delivered",
    "of a phone": "/?phone={phone}",
    "search, a word that is common": "/?q=critical",
    "search, a word that is nowhere": "/?q=nowhere-at-all",
    "search by a sender that is nobody": "/?sender=nobody@*",
    "a message": "/messages/{newest}",
    "plots of a day": "/plots?days=1",
    "plots of a week": "/plots?days=7",
    "plots of a month": "/plots?days=30",
    "API: list": "/api/v1/messages?limit=50",
    "API: sums of a week by the hour": "/api/v1/stats?by=hour&since=7d",
}


def measure(path: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Return first time and median of each page, in milliseconds."""
    with closing(sqlite3.connect(path)) as conn:
        newest, phone = conn.execute(
            "SELECT id, phone FROM messages ORDER BY created_at DESC, id DESC LIMIT 1"
        ).fetchone()
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    more = {
        "users": [{"name": "bench", "password": hasher.hash(_PASSWORD), "role": "admin"}],
        "api": {"tokens": [{"name": "bench", "token": hasher.hash(_PASSWORD)}]},
    }
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="mailbridge-bench-") as folder,
        rig.gateway() as gateway,
        rig.bridge(Path(folder), gateway.port, queue_url=f"sqlite:///{path}", more=more),
    ):
        base = f"http://127.0.0.1:{_web_port(Path(folder) / 'log.jsonl')}"
        opener = _sign_in(base)
        for name, form in PAGES.items():
            page = form.format(newest=newest, phone=urllib.parse.quote(phone))
            took_ms = [_get(opener, f"{base}{page}") for _ in range(rounds)]
            found[name] = took_ms[0], statistics.median(took_ms)
    return found


def _web_port(log: Path) -> int:
    events = (json.loads(line) for line in log.read_text().splitlines())
    return next(int(event["web"]) for event in events if event["event"] == "ready")


def _sign_in(base: str) -> urllib.request.OpenerDirector:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.addheaders = [("Authorization", f"Bearer {_PASSWORD}")]
    page = opener.open(f"{base}/login").read().decode()
    form = page[page.index('action="/login"') :]
    token = re.search(r'name="csrf" value="([^"]+)"', form)
    assert token is not None
    fields = {"csrf": token[1], "back": "/", "name": "bench", "password": _PASSWORD}
    assert "Sign out" in opener.open(f"{base}/login", urllib.parse.urlencode(fields).encode()).read().decode()
    return opener


def _get(opener: urllib.request.OpenerDirector, url: str) -> float:
    start = time.perf_counter()
    opener.open(url).read()
    return (time.perf_counter() - start) * 1000


def main(words: Sequence[str] | None = None) -> int:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(words)
    if not options.file.exists():
        fill.fill(options.file, "finished", options.count)
    found = measure(options.file.absolute(), options.rounds)
    print(f"load {rig.load_average()}\n{'page':<36}{'first, ms':>10}{'median, ms':>12}")
    for name, (first_ms, median_ms) in found.items():
        print(f"{name:<36}{first_ms:>10.0f}{median_ms:>12.0f}")
    return int(any(median_ms > LIMIT_MS for _, median_ms in found.values()))


if __name__ == "__main__":
    sys.exit(main())

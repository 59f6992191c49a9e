"""Secrets planted in a test, and the search for them in everything a program wrote."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus


def spellings(secret: str) -> Iterator[bytes]:
    """Yield *secret* as it would stand in a file, a form, a URL, JSON, base64 at any offset, or as its MD5."""
    raw = secret.encode()
    yield raw
    yield quote(secret).encode()
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield json.dumps(secret)[1:-1].encode()
    # the gateway takes the MD5 in the place of the password (smsc-api.md 1.4)
    yield hashlib.md5(raw).hexdigest().encode()
    for before in range(3):
        # what stands before and after it changes the outermost letters
        coded = base64.b64encode(b"x" * before + raw + b"x" * (-(before + len(raw)) % 3))
        yield coded[0 if before == 0 else 4 : len(coded) - 4]
    yield raw.hex().encode()


class Written:
    """Everything a program wrote, by where it wrote it."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = dict(secrets)
        self.places: list[tuple[str, bytes]] = []

    def add(self, place: str, data: bytes | str) -> None:
        """Remember what was written at *place*."""
        self.places.append((place, data.encode() if isinstance(data, str) else bytes(data)))

    def found(self) -> list[str]:
        """Return who stands where: ``password of the gateway in metrics``, with what is around it."""
        out = []
        for name, secret in self.secrets.items():
            wanted = set(spellings(secret))
            for place, data in self.places:
                at = [(data.find(spelling), len(spelling)) for spelling in wanted if spelling in data]
                out += [f"{name} in {place}: …{data[max(0, start - 60) : start + size + 20]!r}…" for start, size in at]
        return out

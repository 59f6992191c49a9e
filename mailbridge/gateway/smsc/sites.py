"""SMSC's national sites: what follows from the host alone.

Accounts belong to one site each (smsc-api.md 1.1). Must not ask anybody: what the gateway itself says is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

#: roubles, in the gateway's own spelling
DEFAULT_CURRENCY = "RUR"
_CURRENCIES = {"smsc.kz": "KZT", "smsc.ua": "UAH"}


def currency_of(urls: Sequence[str]) -> str:
    """Return the currency of the site that the first of *urls* belongs to."""
    host = (urlsplit(urls[0]).hostname or "") if urls else ""
    site = ".".join(host.split(".")[-2:])
    return _CURRENCIES.get(site, DEFAULT_CURRENCY)

"""The words of others, before they may be repeated.

Used by what talks to servers that know our passwords: a gateway, a smarthost. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "***"


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return *text* with each of *secrets* as ``***``, as it is and as it stands in a form or a URL.

    To be called before a text is cut: half a password is a leak, too.
    """
    for secret in secrets:
        # the longest spelling first: a plain one may be part of it
        spellings = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
        for spelling in sorted(spellings, key=len, reverse=True):
            if spelling:
                text = text.replace(spelling, HIDDEN)
    return text

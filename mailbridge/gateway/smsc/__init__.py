"""The SMSC gateway: code tables, a pure codec, the bridge's way out, and ``Client``, a typed client of every method.

``Client`` is loaded when it is asked for: a bridge at rest never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailbridge.gateway.smsc.api.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Load the client."""
    if name == "Client":
        from mailbridge.gateway.smsc.api.client import Client  # noqa: PLC0415 - late on purpose

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""What the product is meant to have and this version has not: said plainly instead of "unknown key"."""

from __future__ import annotations

NOT_AVAILABLE = "not available in this version"

#: keys of sections
KEYS = frozenset({"inbound.stop", "inbound.to"})
#: channels of a recipient domain
CHANNELS = frozenset({"flash", "call", "ping", "hlr", "viber", "whatsapp", "tg", "mms", "smsc-smtp"})
#: kinds of gateway
GATEWAY_TYPES = frozenset({"apprise"})

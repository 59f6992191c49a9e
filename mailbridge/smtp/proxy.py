"""The PROXY protocol's header, versions 1 and 2 (haproxy's proxy-protocol.txt): who the client behind a proxy is.

Pure octets to values. It must not decide whether a proxy is believed: that is the listener's ``proxies``.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES = 16
#: the longest header of version 1 with its CRLF, and the most addresses and TLVs of version 2 we wait for
_V1_MAX_BYTES = 107
_V2_MAX_BYTES = 4096
_V1 = re.compile(rb"PROXY (?:UNKNOWN(?: [ -~]*)?|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5}))\r\n")
#: family and transport -> octets of one address (TCP over IPv4 and IPv6)
_V2_ADDRESS_BYTES = {0x11: 4, 0x21: 16}
_V2_LOCAL, _V2_PROXY = 0x20, 0x21


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """A header understood."""

    #: octets of the header; what follows is the client's
    length_bytes: int
    #: the client's IP address; None where the proxy speaks for itself, as in a health check
    client: str | None


def parse_proxy_header(octets: bytes) -> ProxyHeader | None:
    """Return the header *octets* begin with, or None when more must come. Raises: ValueError where there is none."""
    if _V2_SIGNATURE.startswith(octets[: len(_V2_SIGNATURE)]):
        return _parse_v2(octets) if len(octets) >= _V2_FIXED_BYTES else None
    if not b"PROXY ".startswith(octets[:6]):
        raise ValueError("no PROXY header")
    end = octets.find(b"\n", 0, _V1_MAX_BYTES)
    if end < 0:
        if len(octets) >= _V1_MAX_BYTES:
            raise ValueError("a PROXY header without an end")
        return None
    found = _V1.fullmatch(octets[: end + 1])
    if found is None or any(int(port or 0) > 0xFFFF for port in (found[4], found[5])):
        raise ValueError("a malformed PROXY header")
    if found[1] is None:
        return ProxyHeader(length_bytes=end + 1, client=None)
    kind = ipaddress.IPv4Address if found[1] == b"4" else ipaddress.IPv6Address
    kind(found[3].decode("ascii"))
    return ProxyHeader(length_bytes=end + 1, client=plain_address(str(kind(found[2].decode("ascii")))))


def _parse_v2(octets: bytes) -> ProxyHeader | None:
    command, family = octets[12], octets[13]
    length_bytes = _V2_FIXED_BYTES + int.from_bytes(octets[14:16], "big")
    if command not in (_V2_LOCAL, _V2_PROXY) or length_bytes > _V2_MAX_BYTES:
        raise ValueError("a malformed PROXY header")
    if len(octets) < length_bytes:
        return None
    if command == _V2_LOCAL:
        return ProxyHeader(length_bytes=length_bytes, client=None)
    size = _V2_ADDRESS_BYTES.get(family)
    if size is None or length_bytes < _V2_FIXED_BYTES + 2 * size + 4:
        raise ValueError("a PROXY header without a TCP client")
    source = ipaddress.ip_address(octets[_V2_FIXED_BYTES : _V2_FIXED_BYTES + size])
    return ProxyHeader(length_bytes=length_bytes, client=plain_address(str(source)))


def plain_address(text: str) -> str:
    """Return an IP address without its zone, an IPv4 one as such even where an IPv6 socket saw it."""
    address = text.partition("%")[0]
    if address.startswith("::ffff:"):
        return str(ipaddress.IPv6Address(address).ipv4_mapped or address)
    return address

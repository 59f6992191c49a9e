"""What OpenSSL's own client gets at each kind of listener: protocol versions and ciphers, as testssl asks for them."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.door import open_door

OPENSSL = shutil.which("openssl")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")]

#: everything the client has, whatever its distribution thinks of it
ALL = "ALL:eNULL:@SECLEVEL=0"
#: what no listener may take: no key, no encryption, broken or short ciphers, keys agreed upon beforehand (IANA)
BROKEN = {
    "NULL-MD5": 0x0001, "NULL-SHA": 0x0002, "NULL-SHA256": 0x003B, "ECDHE-RSA-NULL-SHA": 0xC010,
    "EXP-RC4-MD5": 0x0003, "EXP-DES-CBC-SHA": 0x0008, "RC4-MD5": 0x0004, "RC4-SHA": 0x0005, "ECDHE-RSA-RC4-SHA": 0xC011,
    "DES-CBC-SHA": 0x0009, "DES-CBC3-SHA": 0x000A, "IDEA-CBC-SHA": 0x0007, "SEED-SHA": 0x0096,
    "ADH-RC4-MD5": 0x0018, "ADH-AES128-SHA": 0x0034, "AECDH-AES128-SHA": 0xC018, "PSK-AES128-CBC-SHA": 0x008C,
    "SRP-AES-128-CBC-SHA": 0xC01D,
}  # fmt: skip
#: what a modern listener leaves to legacy ones: no forward secrecy, SHA-1 as MAC
OUTDATED = ["kRSA", "ECDHE+AES+SHA1"]
#: what clients of today ask for
MODERN = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Any]:
    """A listener's RSA certificate and key: with it the client may ask for every kind of key exchange."""
    issued = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("localhost", key_type=trustme.KeyType.RSA)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return {"certificate": str(tmp_path / "cert.pem"), "private_key": str(tmp_path / "key.pem")}


async def handshake(port: int, *words: str, tls: str = "starttls", cipher: str = ALL) -> str | None:
    """Return what the client says of a handshake; None where there was none. Skips what this client cannot ask for."""
    assert OPENSSL is not None
    start = ("-starttls", "smtp") if tls == "starttls" else ()
    process = await asyncio.create_subprocess_exec(
        *(OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", *start, "-brief", "-cipher", cipher, *words),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(b"QUIT\r\n"), 30)
    said = output.decode("utf-8", "replace")
    for cannot in ("no cipher match", "no protocols available", "unknown option", "Unknown option"):
        if cannot in said:
            pytest.skip(f"this OpenSSL cannot ask for it: {cannot}")
    return said if "CONNECTION ESTABLISHED" in said else None


def server_can(version: ssl.TLSVersion) -> bool:
    """Tell whether the OpenSSL that Python was built with has *version* at all, at its lowest level of security."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        # that they are old is what is asked about
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        except (ValueError, ssl.SSLError):
            return False
    return {"TLSv1": ssl.HAS_TLSv1, "TLSv1_1": ssl.HAS_TLSv1_1}.get(version.name, True)


def client_hello(suite: int) -> bytes:
    """Build the first record of a TLS 1.2 client that has one cipher suite and knows P-256 (RFC 5246 7.4.1.2)."""

    def sized(octets: bytes, count: int = 2) -> bytes:
        return len(octets).to_bytes(count, "big") + octets

    curves = b"\x00\x0a" + sized(sized(b"\x00\x17"))
    signatures = b"\x00\x0d" + sized(sized(b"\x04\x01\x08\x04\x02\x01"))
    hello = b"\x03\x03" + bytes(32) + sized(b"", 1) + sized(suite.to_bytes(2, "big")) + sized(b"\0", 1)
    message = b"\x01" + sized(hello + sized(curves + signatures), 3)
    return b"\x16\x03\x01" + sized(message)


async def first_octet(port: int, suite: int) -> int:
    """Return what kind of record a listener with implicit TLS answers with: 0x16 goes on, 0x15 is an alert."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(client_hello(suite))
    async with asyncio.timeout(20):
        answer = await reader.read(1)
    writer.close()
    return answer[0] if answer else 0


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize(
    ("flag", "name", "version"),
    [("-tls1", "TLSv1", ssl.TLSVersion.TLSv1), ("-tls1_1", "TLSv1.1", ssl.TLSVersion.TLSv1_1),
     ("-tls1_2", "TLSv1.2", ssl.TLSVersion.TLSv1_2), ("-tls1_3", "TLSv1.3", ssl.TLSVersion.TLSv1_3)],
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
async def test_protocol_versions(
    tls: str, flag: str, name: str, version: ssl.TLSVersion, legacy: bool, keys: dict[str, Any]
) -> None:
    """TLS 1.2 and 1.3 everywhere, older ones on a legacy listener alone and where OpenSSL still has them."""
    wanted = legacy or name in {"TLSv1.2", "TLSv1.3"}
    if wanted and not server_can(version):
        pytest.skip(f"this OpenSSL has no {name}")
    async with open_door({**keys, "tls": tls, "legacy": legacy}) as door:
        said = await handshake(door.port, flag, tls=tls)
    assert (said is not None) is wanted
    if said is not None:
        assert f"Protocol version: {name}\n" in said


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("legacy", [False, True])
async def test_no_listener_takes_a_broken_cipher(name: str, legacy: bool, keys: dict[str, Any]) -> None:
    """Asked by a client of four lines, for OpenSSL's own has most of these no more; one it has goes on."""
    async with open_door({**keys, "tls": "implicit", "legacy": legacy}) as door:
        assert await first_octet(door.port, BROKEN[name]) in {0, 0x15}
        # ECDHE-RSA-AES128-GCM-SHA256
        assert await first_octet(door.port, 0xC02F) == 0x16


@pytest.mark.parametrize("cipher", OUTDATED)
@pytest.mark.parametrize("legacy", [False, True])
async def test_outdated_ciphers_are_for_legacy_listeners(cipher: str, legacy: bool, keys: dict[str, Any]) -> None:
    """A camera of 2009 has nothing better; a session that somebody records today must not be read with a key stolen later."""
    async with open_door({**keys, "tls": "starttls", "legacy": legacy}) as door:
        said = await handshake(door.port, "-no_tls1_3", cipher=f"{cipher}:!aNULL:!eNULL:@SECLEVEL=0")
    assert (said is not None) is legacy


@pytest.mark.parametrize("cipher", MODERN)
async def test_ciphers_of_today_are_taken(cipher: str, keys: dict[str, Any]) -> None:
    """And the client says that it is that one, with a key of its own for the session."""
    async with open_door({**keys, "tls": "starttls"}) as door:
        said = await handshake(door.port, "-tls1_2", cipher=cipher)
    assert said is not None
    assert f"Ciphersuite: {cipher}\n" in said
    assert "Server Temp Key: " in said


async def test_the_server_chooses_forward_secrecy_whatever_the_client_prefers(keys: dict[str, Any]) -> None:
    """A legacy listener, too: its client's oldest cipher stands first, and is not taken."""
    async with open_door({**keys, "tls": "starttls", "legacy": True}) as door:
        said = await handshake(door.port, "-tls1_2", cipher="AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    assert said is not None
    assert "Ciphersuite: ECDHE-RSA-AES128-GCM-SHA256\n" in said


@pytest.mark.parametrize("legacy", [False, True])
async def test_nobody_may_renegotiate(legacy: bool, keys: dict[str, Any]) -> None:
    """``R`` on a line of its own makes the client try (CVE-2009-3555, CVE-2011-1473): the handshake is refused."""
    assert OPENSSL is not None
    async with open_door({**keys, "tls": "implicit", "legacy": legacy}) as door:
        process = await asyncio.create_subprocess_exec(
            *(OPENSSL, "s_client", "-connect", f"127.0.0.1:{door.port}", "-tls1_2", "-cipher", ALL),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while not (await process.stdout.readline()).startswith(b"220 "):
                pass
            process.stdin.write(b"R\n")
            said = (await process.stdout.read()).decode("utf-8", "replace")
        await process.wait()
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said

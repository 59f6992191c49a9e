"""TLS of the listeners: modern defaults, and certificates that can be renewed while the door is open."""

from __future__ import annotations

import ssl


def build_context(certificate: str, private_key: str | None, *, legacy: bool = False) -> ssl.SSLContext:
    """Return a server's context: TLS 1.2 or newer, Python's own choice of ciphers.

    *legacy* takes whatever OpenSSL still can, TLS 1.0 and SHA-1 included, but no cipher without a key.
    *private_key* may stand in the certificate's file. Raises: OSError (``ssl.SSLError`` is one) with the reason.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if legacy:
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(certificate, private_key)
    return context


def reload_context(context: ssl.SSLContext, certificate: str, private_key: str | None) -> None:
    """Give *context* the certificate as it is on disk now; connections that begin later see it.

    Raises: OSError, with *context* as it was.
    """
    build_context(certificate, private_key)
    context.load_cert_chain(certificate, private_key)

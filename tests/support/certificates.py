"""Certificates of a test's own authority."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import trustme


class Certificates:
    """A certificate on disk, and a client's context that trusts it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.client = ssl.create_default_context()
        self._authority.configure_trust(self.client)
        self.renew()

    def renew(self) -> None:
        issued = self._authority.issue_cert("127.0.0.1", "localhost")
        issued.cert_chain_pems[0].write_to_path(self._folder / "cert.pem")
        issued.private_key_pem.write_to_path(self._folder / "key.pem")

    def listener(self, tls: str, **keys: Any) -> dict[str, Any]:
        paths = {"certificate": str(self._folder / "cert.pem"), "private_key": str(self._folder / "key.pem")}
        return {"tls": tls, **paths, **keys}

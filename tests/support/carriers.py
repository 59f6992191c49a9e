"""Carriers that are described in YAML: the definitions of contrib/carriers, read as the bridge reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from mailbridge.config.load import load_config
from mailbridge.config.model import Config, Gateway
from mailbridge.errors import ConfigError
from tests.support.documents import ROOT

FOLDER = ROOT / "contrib/carriers"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
#: what the files ask of the environment
ENVIRON = {
    "SMSRU_API_ID": "api-canary-1", "TWILIO_SID": "AC0123", "TWILIO_TOKEN": "token-canary", "TWILIO_FROM": "+15005550006",
    "CALLBACK_PATH": "0f1e2d3c4b5a", "PUBLIC_URL": "https://sms.example.org", "VONAGE_KEY": "abcd1234",
    "VONAGE_SECRET": "secret-canary", "CLICKATELL_KEY": "key-canary==", "KANNEL_PASSWORD": "kannel-canary",
    "GAMMU_PASSWORD": "gammu-canary",
}  # fmt: skip


def defined(name: str) -> Gateway:
    """Return the gateway of a file of contrib/carriers, as the bridge reads it."""
    (gateway,) = load_config(FOLDER / f"{name}.yaml", environ=ENVIRON).gateways.values()
    return gateway


def read(data: dict[str, Any], tmp_path: Path, *, problems: bool = False) -> Config | list[str]:
    """Read a configuration that is *data*; return the model, or with *problems* those, as text."""
    file = tmp_path / "carrier.yaml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    try:
        config: Config = load_config(file, environ=ENVIRON)
    except ConfigError as error:
        if problems:
            return [str(problem) for problem in error.problems]
        raise
    return [] if problems else config


def at(gateway: Gateway, url: str) -> Gateway:
    """Return *gateway* with every request of its definition going to the server at *url*, paths as they were."""
    changed: dict[str, Any] = {"insecure": True, "timeout": 1.0, "connect_timeout": 1.0}
    for key in ("request", "status", "lookup", "balance"):
        call = getattr(gateway, key)
        if call is not None:
            parts = urlsplit(call.url.get_secret_value())
            there = url + parts.path + (f"?{parts.query}" if parts.query else "")
            changed[key] = call.model_copy(update={"url": SecretStr(there)})
    return gateway.model_copy(update=changed)

"""The search for committed secrets: it finds each kind, passes what only looks like one, and has no stale exception."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# put together here, so that this file holds none
SECRETS = [
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "-----BEGIN " + "PRIVATE KEY-----",
    "key = 'AKI" + "AIOSFODNN7EXAMPL9'",
    "gh" + "p_0123456789abcdefghijABCDEFGHIJ456789",
    "https://hooks.example.org/xox" + "b-1234567890-abcdef",
    "smtp://bridge:" + "x7Kq9ZpL2mT4@mail.example.org",
    "    pass" + "word: x7Kq9ZpL2mT4vB8n",
    "SMSC_API" + "KEY='x7Kq9ZpL2mT4vB8n'",
    "hash: $argon2id$v=19$m=65536,t=3,p=4$" + "Zm9vYmFyYmF6$x7Kq9ZpL2mT4vB8nx7Kq9ZpL2mT4vB8n",
]
HARMLESS = [
    'gateways:\n  main: {type: smsc, login: acme, password: "${SMSC_PASSWORD}"}',
    "password: change-me-please",
    "password_file: /run/secrets/smsc",
    "smtp://user:password@mail.example.org",
    "password = settings.password.get_secret_value()",
    "login=demo&psw=demo&phones=79990000001",
]


@pytest.fixture(scope="module")
def scan():
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("secret_scan", str(ROOT / "scripts" / "secret-scan"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("secret_scan", loader))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_found(scan, line: str) -> None:
    """Keys, tokens, hashes and passwords that a machine made."""
    assert scan.find(line)


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_none_passes(scan, line: str) -> None:
    """Variables, paths, placeholders and words of documents."""
    assert scan.find(line) is None


def test_no_exception_is_left_over(scan) -> None:
    """Each exception excuses something that is still there."""
    text = "\n".join(line for place, line in scan.lines(history=False) if not place.startswith("scripts/secret-scan"))
    assert [known for known in scan.KNOWN if known not in text] == []


def test_a_find_fails_and_is_not_repeated(tmp_path: Path) -> None:
    """Exit 1 with file and line; the secret itself is not printed."""
    for command in (["git", "init", "-q"], ["mkdir", "scripts"], ["cp", ROOT / "scripts/secret-scan", "scripts/"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "config.yaml").write_text(f"a: 1\n{SECRETS[6]}\n")
    subprocess.run(["git", "add", "config.yaml"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "scripts/secret-scan"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("config.yaml:2: looks like a password")
    assert "x7Kq9ZpL2mT4" not in done.stdout

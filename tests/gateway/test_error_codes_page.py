"""The reference page of the gateway's codes."""

from __future__ import annotations

from pathlib import Path

from mailbridge.gateway.smsc.reference import reference

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reference" / "error-codes.md"


def test_the_page_is_what_the_tables_say():
    """Nobody has edited one without the other; ``scripts/generate`` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference()

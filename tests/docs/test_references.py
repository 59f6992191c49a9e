"""What comments and docstrings refer to can be found in the tree."""

from __future__ import annotations

import re

import pytest

from tests.support.documents import ROOT

CODE = sorted(file for folder in ("mailbridge", "tests", "scripts", "bench") for file in (ROOT / folder).rglob("*.py"))
HEADINGS = set(
    re.findall(r"^#{2,3} (\d+(?:\.\d+)?)", (ROOT / "docs/reference/smsc-api.md").read_text("utf-8"), re.MULTILINE)
)
DECISIONS = {int(page.name[:4]) for page in (ROOT / "docs/adr").glob("[0-9]*.md")}


@pytest.mark.parametrize(("pattern", "known"), [
    (r"smsc-api\.md(?: sections?)? (\d+(?:\.\d+)?)", HEADINGS),
    (r"\bADR (\d+)", {str(number) for number in DECISIONS}),
], ids=["sections of the gateway's interface", "decisions"])  # fmt: skip
def test_numbers_lead_somewhere(pattern: str, known: set[str]) -> None:
    """A section or a decision that is named by its number exists."""
    named = {(file.name, found) for file in CODE for found in re.findall(pattern, file.read_text("utf-8"))}
    assert named
    assert sorted((name, found) for name, found in named if found.lstrip("0") not in known) == []


def test_pages_named_in_code_are_there() -> None:
    """A page of docs/ named in a comment exists, and no other document is named."""
    named = {
        (file.name, page)
        for file in CODE
        for page in re.findall(r"\b(?:docs/[\w/-]*)?[\w-]+\.md\b", file.read_text("utf-8"))
    }
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")}
    short = {page.rpartition("/")[2] for page in pages} | {page.name for page in ROOT.glob("*.md")}
    assert [(name, page) for name, page in sorted(named) if page not in pages | short] == []

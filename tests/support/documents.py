"""The project's own documents, read as a reader uses them: blocks of code, command lines, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: everything a user reads; decisions are for the next engineer
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MANUALS = [page for page in PAGES if "adr" not in page.parts and page.name != "cli.md"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^    (?! )(mailbridge(?:-sendmail)? .*|mailbridge)$", re.MULTILINE)
_INLINE = re.compile(r"`(mailbridge(?:-sendmail)? [^`]+)`")
_FENCED_COMMAND = re.compile(r"^(?:\$ )?(mailbridge(?:-sendmail)? .*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
#: ends of a command line within a shell's line
_SHELL = frozenset({"|", ">", ">>", "<", "&&", ";", "2>&1"})


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    text: str


def name_of(page: Path) -> str:
    """Return the page's name from the project's folder, for a test's id."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of *page*, in order."""
    found = [Block(*match.groups()) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))]
    return [block for block in found if language is None or block.language == language]


def commands(page: Path) -> list[list[str]]:
    """Return every ``mailbridge …`` command line that *page* shows in a block, as its words."""
    lines = _INDENTED.findall(page.read_text(encoding="utf-8"))
    for block in blocks(page):
        lines += _FENCED_COMMAND.findall(block.text) if block.language in {"console", "sh", ""} else []
    return [list(_words(line)) for line in lines]


def mentions(page: Path) -> list[list[str]]:
    """Return every command named in a sentence of *page*; its arguments may be left out."""
    prose = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [list(_words(line)) for line in _INLINE.findall(prose)]


def _words(line: str) -> Iterator[str]:
    for word in shlex.split(line.rstrip(";."), comments=True):
        if word in _SHELL:
            return
        yield word


def links(page: Path) -> list[str]:
    """Return the relative links of *page*, without what follows ``#``."""
    return [link for link in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]


def runs(block: Block) -> list[tuple[list[str], str]]:
    """Return the command lines of a ``console`` block, each with the output shown below it."""
    shown = []
    for piece in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, output = piece.partition("\n")
        shown.append((shlex.split(line), output))
    return shown

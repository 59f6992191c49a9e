"""The reference pages agree with the program."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbridge.config.model import Config
from mailbridge.config.show import effective
from mailbridge.delivery import questions
from mailbridge.gateway.transport import MAX_ANSWER_BYTES
from mailbridge.intake.html import MAX_HTML_CHARS
from mailbridge.intake.mime import MAX_HEADER_BYTES, MAX_HEADER_LINES, MAX_LEVELS, MAX_PARTS
from mailbridge.model import reply as replies
from mailbridge.model.reply import Reply
from mailbridge.model.state import MOVES, State
from mailbridge.smtp.site import Limits
from scripts.pages import NOT_SAID, adr_index, cli_page, replies_page, states_page
from tests.support.bridge import running_bridge
from tests.support.documents import ROOT
from tests.support.fuzz import TARGETS
from tests.support.pages import fetched

REFERENCE = ROOT / "docs/reference"
SOURCES = [file for file in (ROOT / "mailbridge").rglob("*.py") if "simulator" not in file.parts]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("docs/adr/README.md", adr_index), ("docs/reference/cli.md", cli_page),
        ("docs/reference/replies.md", replies_page), ("docs/reference/states.md", states_page),
    ],
)  # fmt: skip
def test_generated_pages_are_current(name: str, make) -> None:
    """What scripts/generate writes is what stands in the tree."""
    assert (ROOT / name).read_text(encoding="utf-8") == make(), "run scripts/generate"


def test_the_page_of_states_has_every_state_and_move() -> None:
    """Each state has its line, and each line the states it may become."""
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", states_page(), re.MULTILINE))
    assert {State(name): {State(word) for word in re.findall(r"\w+", moves)} for name, moves in rows.items()} == {
        state: moves - {state} for state, moves in MOVES.items()
    }


def test_what_no_client_hears_is_left_out_of_the_page_of_replies() -> None:
    """The page has every row of the table but those that no code gives to a client."""
    table = {name: row for name, row in vars(replies).items() if isinstance(row, Reply)}
    page = replies_page()
    said = {row.text for name, row in table.items() if name not in NOT_SAID}
    assert all(text.replace("<", "&lt;") in page for text in said)
    used = "".join(file.read_text(encoding="utf-8") for file in SOURCES if file.name != "reply.py")
    for name in NOT_SAID:
        assert name in table
        assert not re.search(rf"Rejected\(\s*(reply\.)?{name}\b|answer\(\s*(reply\.)?{name}\b", used)


# ------------------------------------------------------------------------------------------------- the log
LEVELS = {"debug", "info", "warning", "error", "exception"}


def table_of(page: Path) -> dict[str, set[str]]:
    """Return the events of the page and the fields of each."""
    rows = re.findall(r"^\| `([^`]+)` \|([^|]*)\|", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in rows}


def logged() -> Iterator[tuple[str, set[str]]]:
    """Yield every event that stands as a literal in a log call, with its literal fields."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            # (log.error if … else log.warning)("event")
            func = node.func.body if isinstance(node.func, ast.IfExp) else node.func
            if not isinstance(func, ast.Attribute) or func.attr not in LEVELS:
                continue
            event = node.args[0]
            if isinstance(event, ast.Constant) and isinstance(event.value, str):
                yield event.value, {keyword.arg for keyword in node.keywords if keyword.arg}


def decided() -> set[str]:
    """Return the events that decisions carry: ``Change(event=…)``, and the states a receipt leads to."""
    words = {"sent", "delivered", "undelivered", "expired"}
    for file in (Path(questions.__file__).parent).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "event" and isinstance(node.value, ast.Constant):
                words.add(str(node.value.value))
    return words - {""}


def test_every_event_of_the_log_is_on_its_page() -> None:
    """An operator finds each event, and each of its fields, in the reference; and nothing that is never logged."""
    page = REFERENCE / "log.md"
    shown = table_of(page)
    bugs = set(re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8").partition("bugs worth reporting")[2]))
    fields: dict[str, set[str]] = defaultdict(set)
    for event, some in logged():
        fields[event] |= some
    for event in decided():
        fields.setdefault(event, set())
    # chosen by an expression in report/mailer.py
    for event in ("report_deferred", "report_given_up"):
        fields[event] = fields.get(event, set())
    assert set(fields) == set(shown) | bugs
    missing = {event: some - shown[event] for event, some in fields.items() if event in shown}
    assert {event: some for event, some in missing.items() if some} == {}


# -------------------------------------------------------------------------------------------------- limits
def test_figures_of_the_page_of_limits_are_those_in_force() -> None:
    """Each default stands there as the configuration has it, and the fixed figures as the code has them."""
    page = (ROOT / "docs/explain/limits-and-abuse.md").read_text(encoding="utf-8")
    shown = effective(Config())
    keyed = re.findall(r"`(\w+)\.(\w+)` `([^`]+)`", page)
    assert len(keyed) == 10
    assert {(section, key, str(shown[section][key])) for section, key, _ in keyed} == set(keyed)
    limits = Limits()
    for words in (
        f"| nonsense commands | `421 4.7.0` | {limits.max_faults} |",
        f"`421 4.7.0` | {limits.max_idle_commands} since the last mail |",
        f"| refused recipients, to find numbers | `421 4.7.0` | {limits.max_refusals} |",
        f"| wrong passwords | `421 4.7.0` | {limits.max_auth_failures},",
        f"| idle for {limits.crowded_idle_s:.0f} s between two mails |",
        f"| {limits.command_bytes} bytes; {limits.flood_bytes // 1024} KB without an end",
        f"| {limits.buffered_bytes // 2**20} MB of content in memory",
        f"| {MAX_LEVELS} levels, {MAX_PARTS} parts |",
        f"| {MAX_HEADER_LINES} lines, {MAX_HEADER_BYTES // 1000} KB |",
        f"| {MAX_HTML_CHARS:,} characters,",
        f"read up to {MAX_ANSWER_BYTES // 1024} KB",
    ):
        assert words in page


# ------------------------------------------------------------------------------------------------- metrics
@pytest.mark.slow
async def test_metrics_are_those_of_the_page(tmp_path: Path) -> None:
    """A running bridge shows the documented names with the documented labels, and no other."""
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(mailbridge_\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    wanted = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    async with running_bridge(tmp_path) as bridge:
        sent = await bridge.verb("send", "89991234567", "so that a balance is known")
        assert sent.code == 0, sent
        await bridge.messages()
        port = bridge.events_called("ready")[0]["web"]
        text = await fetched(f"http://127.0.0.1:{port}/metrics")
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    labels: dict[str, set[str]] = {name: set() for name in kinds}
    for name, inside in re.findall(r"^(\w+)\{(.*)\} ", text, re.MULTILINE):
        family = name if name in kinds else re.sub("_(bucket|count|sum)$", "", name)
        labels[family] |= set(re.findall(r'(\w+)="', inside)) - {"le"}
    got = {name: (kind, labels[name]) for name, kind in kinds.items()}
    assert got.keys() == wanted.keys()
    assert {name: kind for name, (kind, _) in got.items()} == {name: kind for name, (kind, _) in wanted.items()}
    assert all(found <= wanted[name][1] for name, (_, found) in got.items())
    assert not any("phone" in found for _, found in got.values())


# ------------------------------------------------------------------------------------------ specifications, fuzzing
def test_what_is_said_of_specifications_is_shown_somewhere() -> None:
    """Each row names a dialogue or a file of tests that is there, and each reply code it names is in that dialogue."""
    page = (ROOT / "docs/explain/specifications.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "| shown by |" not in line]
    assert len(rows) >= 30
    for row in rows:
        proofs = re.findall(r"`([^`]+)`", row.rstrip("|").rpartition("|")[2])
        assert proofs, row
        texts = []
        for proof in proofs:
            file = ROOT / (proof if "/" in proof else f"tests/data/dialogs/{proof}.cmy")
            assert file.exists(), proof
            texts.append(file.read_text(encoding="utf-8"))
        for code in re.findall(r"`([245]\d\d [245]\.\d\.\d)`", row):
            assert any(code in text.replace("\\", "") for text in texts) or "tests/" in proofs[0], (code, proofs)


def test_the_page_of_fuzzing_tells_every_invariant() -> None:
    """Each target stands there with its invariant, word for word, and how many inputs were tried."""
    page = (ROOT / "docs/explain/fuzzing.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [\d,]+ \| (.*) \|$", page, re.MULTILINE))
    assert rows == {target.name: target.invariant for target in TARGETS}

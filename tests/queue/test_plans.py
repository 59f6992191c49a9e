"""No question looks at all rows: the engine's own query plans."""

import re
import sqlite3

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import sqlite as dialect

from mailbridge.model.state import State
from mailbridge.queue.contract import Filter
from mailbridge.queue.escalations import Wanted
from mailbridge.queue.statements import browsing, changes, claims, escalations, mails, prune, questions, reports
from mailbridge.queue.tables import IS_RARE, messages
from tests.support.queue import NOW

QUEUED = frozenset({State.QUEUED})
WRONG = frozenset({State.FAILED, State.HELD})

STATEMENTS = {
    "claim": (claims._due, "messages_due"),
    "taken ids": (claims._taken, "attempts_gateway"),
    "recover": (claims._sending_of, "messages_due"),
    "dedupe": (mails._find_keys, "dedupe"),
    "apply": (changes._standing_of, "sqlite_autoindex_messages_1"),
    "due_questions": (questions.due_in_state, "messages_due"),
    "expired": (questions.expired_rows, "messages_expiry"),
    "due_warnings": (questions.warnable_rows, "messages_warnable"),
    "next_due_at": (questions.next_due, "messages_due"),
    "find_attempts": (questions._attempted, "attempts_gateway"),
    "find": (questions.find_page(Filter()), "messages_newest"),
    "find next page": (questions.find_page(Filter(after_id="M1.1")), "messages_newest"),
    "find by phone": (questions.find_page(Filter(phone="+7")), "messages_phone"),
    "page of rare states": (questions.find_page(Filter(states=WRONG)).where(IS_RARE), "messages_rare"),
    "page of common states": (questions.find_page(Filter(states=QUEUED, from_id="M1.1")), "messages_newest"),
    "edge of a page": (browsing._edge(Filter(after_id="M1.1"), 9), "messages_newest"),
    "events": (browsing.newer_lines, "INTEGER PRIMARY KEY"),
    "find since": (questions.find_page(Filter(since=NOW, until=NOW)), "messages_newest"),
    "mail's messages": (select(messages).where(messages.c.mail_id == "x").order_by(messages.c.number), "messages_mail"),
    "due_reports": (reports.due_mails, "report_items_waiting"),
    "prune": (prune.old_mails, "mails_received"),
    "nth_newest_at": (prune.nth_newest, "mails_received"),
    "count_waiting": (questions.waiting, "COVERING INDEX messages_due"),
    "due_escalations": (escalations.due_rows, "escalations_due"),
    "messages of an escalation": (escalations.messages_of, "escalated_of"),
    "taken numbers": (escalations.taken_numbers, "escalations_number"),
    "find_escalations": (escalations.find_page(Wanted()), "escalations_newest"),
    "find_escalations by number": (escalations.find_page(Wanted(number="1111")), "escalations_number"),
    "oldest_waiting_at": (questions.oldest_waiting, "messages_expiry"),
}


@pytest.fixture
async def plan(sqlite, tmp_path):
    """Return what asks the engine how it would run a statement."""
    conn = sqlite3.connect(tmp_path / "queue.db")

    def explain(statement):
        compiled = statement.compile(dialect=dialect.dialect(), compile_kwargs={"render_postcompile": False})
        sql = re.sub(r"\(__\[POSTCOMPILE_\w+\]\)", "('a', 'b')", str(compiled))
        sql = re.sub(r"__\[POSTCOMPILE_\w+\]", "'a', 'b'", sql)
        rows = conn.execute("EXPLAIN QUERY PLAN " + sql, [1] * sql.count("?"))
        return [row[3] for row in rows]

    yield explain
    conn.close()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_uses_its_index(plan, name):
    """It never scans a table, and never sorts what it found (but for the few mails with reports)."""
    statement, index = STATEMENTS[name]
    steps = plan(statement)
    assert any(index in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN") and "USING" not in step and step != "SCAN waiting"]
    if name != "due_reports":
        assert not [step for step in steps if "TEMP B-TREE" in step], steps

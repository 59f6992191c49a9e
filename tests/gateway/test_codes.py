"""The tables of the gateway's numbers: every row, and the rules that hold for all of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.gateway.smsc.codes import CODES, ERRS, STATUSES, Cause, Verdict, code_row, meaning_of
from mailbridge.model.state import State

FAILURES = sorted(s for s, row in STATUSES.items() if row.state in {State.UNDELIVERED, State.EXPIRED})


def test_every_documented_code_has_its_row():
    """The tables hold what smsc-api.md 2.7, 4.5 and 4.6 list, and nothing else."""
    assert list(CODES) == list(range(1, 10))
    assert list(STATUSES) == [-3, -2, -1, 0, 1, 2, 3, 4, 20, 22, 23, 24, 25]
    assert len(ERRS) == 33
    assert list(ERRS) == sorted(ERRS)


@pytest.mark.parametrize("row", CODES.values(), ids=lambda row: str(row.code))
def test_a_code_row_has_what_its_verdict_needs(row):
    """A refusal has a permanent reply, a suspension a probe that grows, a deferral a time."""
    assert (row.reply is not None) == (row.verdict is Verdict.REFUSED)
    assert (row.probe_after_s > 0) == (row.verdict is Verdict.SUSPENDED)
    assert (row.retry_after_s is not None) == (row.verdict is Verdict.DEFERRED)
    assert row.splits == (row.verdict is Verdict.REFUSED)
    assert row.probe_max_s >= row.probe_after_s
    assert row.reply is None or row.reply.is_permanent
    assert row.words.endswith(".")
    assert row.text.isascii()


@pytest.mark.parametrize(
    ("code", "verdict", "reply"),
    [
        (1, Verdict.REFUSED, "554 5.3.5"),
        (5, Verdict.REFUSED, "554 5.5.4"),
        (6, Verdict.REFUSED, "550 5.7.1"),
        (7, Verdict.REFUSED, "550 5.1.3"),
        (8, Verdict.REFUSED, "550 5.1.1"),
    ],
)
def test_refusals_have_their_replies(code, verdict, reply):
    """docs/reference/error-codes.md, column SMTP."""
    row = CODES[code]
    assert row.verdict is verdict
    assert str(row.reply).startswith(reply + f" SMSC error {code}: ")


@pytest.mark.parametrize(("code", "first", "longest"), [(2, 60, 600), (3, 30, 600), (4, 300, 3600)])
def test_suspensions_have_their_probe_times(code, first, longest):
    """2 after 60 s, 3 after 30 s, 4 after 5 minutes; up to 10 minutes, 4 up to an hour."""
    assert (CODES[code].probe_after_s, CODES[code].probe_max_s) == (first, longest)


def test_code_9_waits_longer_than_the_gateways_minute():
    """An identical request within a minute would be refused again."""
    assert CODES[9].retry_after_s >= 61


@given(st.integers().filter(lambda code: code not in CODES))
def test_an_unknown_code_defers(code):
    """Any other code leaves the message queued."""
    assert code_row(code).verdict is Verdict.DEFERRED


@pytest.mark.parametrize("row", ERRS.values(), ids=lambda row: str(row.err))
def test_an_errs_enhanced_code_agrees_with_its_cause(row):
    """4.x.x for what may pass, 5.x.x for what will not."""
    if row.cause is Cause.NONE:
        assert row.enhanced == ""
    else:
        assert re.fullmatch(r"[45]\.[0-7]\.\d", row.enhanced)
        assert row.enhanced.startswith("4") == (row.cause is Cause.TEMPORARY)
    assert row.words.isascii()
    assert "(" not in row.words, "the words stand in brackets in a Diagnostic-Code"


@pytest.mark.parametrize("row", STATUSES.values(), ids=lambda row: str(row.status))
def test_a_status_row_is_whole(row):
    """Final statuses have an enhanced code, others have none."""
    assert bool(row.enhanced) == (row.state is not None)
    assert row.words.isascii()
    assert meaning_of(row.status).state is row.state


@pytest.mark.parametrize("status", FAILURES)
@pytest.mark.parametrize("err", [err for err in ERRS if err])
def test_the_err_says_why_a_message_failed(status, err):
    """A final failure takes enhanced code and words from the row of its err."""
    meaning = meaning_of(status, err)
    assert meaning.state is (State.EXPIRED if status == 3 else State.UNDELIVERED)
    assert meaning.enhanced == ERRS[err].enhanced
    assert meaning.permanent == (ERRS[err].cause is not Cause.TEMPORARY)
    assert meaning.diagnostic == f"x-smsc; status {status} err {err} ({ERRS[err].words})"


def test_a_diagnostic_reads_like_this():
    """The Diagnostic-Code of a bounce."""
    assert meaning_of(25, 248).diagnostic == "x-smsc; status 25 err 248 (no route)"
    assert meaning_of(3).diagnostic == "x-smsc; status 3 (not delivered within its validity)"


@pytest.mark.parametrize("status", [1, 2, 4])
def test_delivered_read_and_clicked_are_delivered(status):
    """An err beside them changes nothing."""
    assert meaning_of(status, 6).state is State.DELIVERED
    assert meaning_of(status, 6).enhanced == "2.1.5"


@given(st.integers(), st.integers())
def test_every_pair_of_numbers_has_a_meaning(status, err):
    """Unknown statuses from 20 on are final failures, unknown ones below are not final."""
    meaning = meaning_of(status, err)
    if status not in STATUSES:
        assert meaning.state is (State.UNDELIVERED if status >= 20 else None)
    assert bool(meaning.enhanced) == (meaning.state is not None)
    assert meaning.diagnostic.isascii()

"""Many names in few letters: nothing is lost, and nothing is said that was not there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.storm import expand
from mailbridge.intake.names import compress, list_names


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        ([("db2", ""), ("mail", "SMTP")], ["db2", "mail/SMTP"]),
        ([(f"web{n:02}", "HTTP") for n in range(1, 41)], ["web01..40/HTTP"]),
        ([(f"web{n}", thing) for n in (8, 9, 10, 11) for thing in ("HTTP", "SSH")], ["web8..11/HTTP,SSH"]),
        ([("mail", "SMTP"), ("mail", "IMAP"), ("mail", "")], ["mail", "mail/SMTP,IMAP"]),
        ([("mail", "disk"), ("erp", "disk"), ("git", "disk")], ["mail,erp,git/disk"]),
        ([("web01", "HTTP"), ("web03", "HTTP"), ("web07", "HTTP")], ["web01,03,07/HTTP"]),
        ([(f"10.0.0.{n}", "") for n in range(5, 9)], ["10.0.0.5..8"]),
        ([("a 20261125103000", ""), ("a 20261125103100", "")], ["a 20261125103000", "a 20261125103100"]),
    ],
)
def test_names_are_listed_shortly(names, texts):
    """Ranges, lists of numbers, and things that all of some hosts have."""
    assert list_names(names) == texts


@given(st.lists(st.from_regex(re.compile(r"[a-c]{1,2}[0-9]{1,3}(-[xy])?", re.ASCII), fullmatch=True), max_size=30))
def test_what_is_compressed_can_be_read_again(words):
    """Each text stands for what went into it and nothing else."""
    assert sorted(name for text in compress(words) for name in expand(text)) == sorted(set(words))

"""Profiles and two hundred rules are no burden: a whole intake stays under a millisecond of processor time."""

from __future__ import annotations

import pytest

from bench import rules
from mailbridge.profiles.load import load_profiles

#: microseconds of processor time for a mail; half of it on the machine this was written on
MOST_US = 1000


@pytest.mark.slow
def test_intake_with_two_hundred_rules_and_all_profiles_is_under_a_millisecond():
    """Parsing, all profiles, 200 rules of which none fits, and composing, over all mails there are."""
    contents = [path.read_bytes() for folder in ("emails", "profiles/*") for path in rules.DATA.glob(f"{folder}/*.eml")]
    assert len(contents) > 300
    call = rules.intake(rules.planner(load_profiles(), rules.two_hundred()))
    # another program on the machine costs processor time, too (caches); a good round is what it needs
    assert min(rules.microseconds(call, contents) for _ in range(2)) < MOST_US

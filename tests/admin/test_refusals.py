"""What the door refused, and the line that would allow it."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.model import reply as replies
from mailbridge.refusals import Overheard, Refusal, Refusals, line_to_allow
from tests.support.clock import START, FakeClock


def refusal(reply, about="", client="192.0.2.7"):
    """Build a refusal."""
    return Refusal(at=START, stage="rcpt", client=client, reply=str(reply), about=about)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (refusal(replies.CLIENT_NOT_ALLOWED), {"smtp": {"listen": [{"allow": ["192.0.2.7"]}]}}),
        (refusal(replies.UNKNOWN_DOMAIN, "1@Other.Example"), {"smtp": {"domains": {"other.example": "sms"}}}),
        (refusal(replies.COUNTRY_NOT_ALLOWED, "+4915112345678@sms.local"), {"numbers": {"allow": ["+4915112345678"]}}),
        (refusal(replies.NOT_A_PHONE, "Duty@sms.local"), {"aliases": {"duty": ["+79991234567"]}}),
    ],
)
def test_the_line_says_the_key_and_the_value(one, wanted):
    """It is YAML that can be pasted."""
    assert yaml.safe_load(line_to_allow(one)) == wanted


@given(
    reply=st.sampled_from(
        [replies.UNKNOWN_DOMAIN, replies.COUNTRY_NOT_ALLOWED, replies.NOT_A_PHONE, replies.BAD_OPTION]
    ),
    about=st.text(max_size=60) | st.from_regex(r"\A[a-z0-9+\"{}: #\n]{1,20}@[a-z.{}\n]{1,20}\Z"),
)
def test_what_a_stranger_writes_adds_no_key_of_its_own(reply, about):
    """One section with one key, on one line, or nothing."""
    line = line_to_allow(refusal(reply, about))
    assert "\n" not in line
    found = yaml.safe_load(line) or {}
    assert set(found) <= {"smtp", "numbers", "aliases"}
    assert all(len(section) == 1 for section in found.values())


def test_like_refusals_are_one_and_the_oldest_kinds_are_forgotten():
    """A scanner with a thousand addresses does not fill the memory; the log is written as ever."""
    written = []

    class Log:
        def info(self, event, **fields):
            written.append(event)

        def error(self, event, **fields):
            written.append(event)

    refusals = Refusals(FakeClock().now)
    log = Overheard(Log(), refusals.note)
    for _ in range(3):
        log.info("rejected", stage="rcpt", reply="550 5.1.1 x", client="192.0.2.1", recipient="<a@b> NOTIFY=NEVER")
    (one,) = refusals.newest()
    assert (one.count, one.about) == (3, "a@b")
    log.info("accepted")
    log.error("store trouble")
    for n in range(1000):
        log.info("rejected", stage="connect", reply="550 5.7.1 x", client=f"192.0.2.{n}")
    assert len(refusals.newest()) == 200
    assert refusals.newest()[0].client == "192.0.2.999"
    assert len(written) == 1005

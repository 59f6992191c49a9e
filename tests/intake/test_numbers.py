"""Reading phone numbers and deciding which may be sent to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.model import Numbers
from mailbridge.errors import Rejected
from mailbridge.intake.numbers import NumberPolicy, looks_like_phone
from mailbridge.model.reply import COUNTRY_NOT_ALLOWED, IMPOSSIBLE_NUMBER

RUSSIA = NumberPolicy(Numbers())


def policy(region="RU", allow=None):
    """Return a policy of that configuration."""
    return NumberPolicy(Numbers(region=region, allow=allow))


def refusal(numbers, text):
    """Return the reply with which *text* is refused."""
    with pytest.raises(Rejected) as caught:
        numbers.read(text)
    return caught.value.reply


@pytest.mark.parametrize(
    "text",
    [
        "79991234567",
        "+79991234567",
        "89991234567",
        "8-999-123-45-67",
        "8.999.123.45.67",
        "(999)1234567",
        "8 (999) 123-45-67",
        "+7 (999) 123-45-67",
        "7(999)1234567",
        "9991234567",
        "0079991234567",
        "81079991234567",
    ],
)
def test_the_ways_people_write_a_number(text):
    """Every form people write and the two international prefixes give the same number."""
    assert RUSSIA.read(text) == "+79991234567"


@pytest.mark.parametrize("text", ["+79990000001", "+70000000000", "+78001234567", "+79000000000", "+72000000000"])
def test_ranges_nobody_knows_pass(text):
    """A number of the right length is not refused because a library's tables lack its range."""
    assert RUSSIA.read(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "7999", "+7999", "7", "112", "1234", "12345", "123456", "+7999123456", "799912345678", "+799912345678",
        "79991234567890", "+79991234567890123", "+0123456789", "++79991234567", "+", "()", "", "7999123456x",
        "٧٩٩٩١٢٣٤٥٦٧", "７９９９１２３４５６７", "79991234567;ext=5", "79991234567\n", "7" * 41, "+999123456789",
    ],
)  # fmt: skip
def test_impossible_numbers(text):
    """Too short, too long, short codes, other digits than ASCII, and anything that is no number at all."""
    assert refusal(RUSSIA, text) is IMPOSSIBLE_NUMBER


@pytest.mark.parametrize(
    "text",
    [
        "+77011234567",
        "77011234567",
        "+77990000000",
        "+76000000000",
        "+380501234567",
        "375291234567",
        "+12025550123",
        "+84912345678",
    ],
)
def test_other_countries_are_refused_by_default(text):
    """Without ``allow`` only the region's own country is sent to, though Kazakhstan shares its code."""
    assert refusal(RUSSIA, text) is COUNTRY_NOT_ALLOWED


@pytest.mark.parametrize("text", ["+88212345678", "88091234567", "+78091234567"])
def test_satellites_and_premium_numbers_are_refused(text):
    """A satellite network is no country, and a premium-rate number is refused within an allowed one."""
    assert refusal(RUSSIA, text) is COUNTRY_NOT_ALLOWED
    assert refusal(policy(allow=["+7"]), text) is COUNTRY_NOT_ALLOWED


@pytest.mark.parametrize("text", ["+447012345678", "+491805123456", "+19005551234"])
def test_numbers_that_pay_their_owner_are_refused_unless_named(text):
    """Personal and shared-cost numbers are premium by another name (British 070, German 0180)."""
    country = {"+44": "GB", "+49": "DE", "+19": "US"}[text[:3]]
    assert refusal(policy(region=country, allow=[country]), text) is COUNTRY_NOT_ALLOWED
    assert policy(region=country, allow=[country, text[:6]]).read(text) == text


def test_a_prefix_is_wider_than_a_country():
    """``+7`` allows Russia and Kazakhstan, ``KZ`` only the latter, ``+7999`` only its own numbers."""
    assert policy(allow=["+7"]).read("+77011234567") == "+77011234567"
    assert policy(allow=["KZ"]).read("+77011234567") == "+77011234567"
    assert policy(allow=["kz", "RU"]).read("+79991234567") == "+79991234567"
    assert refusal(policy(allow=["KZ"]), "+79991234567") is COUNTRY_NOT_ALLOWED
    assert policy(allow=["7999"]).read("89991234567") == "+79991234567"
    assert refusal(policy(allow=["+7999"]), "+79161234567") is COUNTRY_NOT_ALLOWED
    assert refusal(policy(allow=[]), "+79991234567") is COUNTRY_NOT_ALLOWED


def test_a_named_range_may_be_premium():
    """A prefix that names a premium range allows it."""
    assert policy(allow=["+7809"]).read("+78091234567") == "+78091234567"


def test_competing_readings():
    """Without a plus the allowed reading wins, then the one in use, then the mobile, then the national."""
    assert RUSSIA.read("84912345678") == "+74912345678"
    assert policy(allow=["+7", "+84"]).read("84912345678") == "+84912345678"
    assert policy(allow=["+7", "BY"]).read("375291234567") == "+375291234567"
    assert policy(region="DE", allow=["DE", "RU"]).read("79991234567") == "+79991234567"
    assert policy(region="DE").read("01711234567") == "+491711234567"
    assert policy(region="US", allow=["US"]).read("(202) 555-0123") == "+12025550123"
    assert policy(region="KZ").read("87011234567") == "+77011234567"


@pytest.mark.parametrize("settings", [{"region": "XX"}, {"allow": ["XX"]}, {"allow": ["+"]}, {"allow": ["Russia"]}])
def test_a_wrong_policy_is_told_at_once(settings):
    """A region or an allowed entry that is neither country nor prefix is found when the policy is built."""
    with pytest.raises(ValueError, match="write"):
        NumberPolicy(Numbers.model_construct(**{"region": "RU", "allow": None} | settings))


def test_what_looks_like_a_phone():
    """Only ASCII digits with the usual separators, and at least one digit."""
    assert looks_like_phone("8 (999) 123-45.67")
    assert not any(map(looks_like_phone, ["", "+", "--", "admins", "a1", "1+2", "٧", "1\n"]))


@given(st.text(alphabet=st.sampled_from("0123456789+()-. x٧"), max_size=45))
def test_reading_never_fails_otherwise(text):
    """Any text gives E.164 or a refusal, and reading the result again gives the same number."""
    anywhere = policy(allow=[f"+{digit}" for digit in range(1, 10)])
    try:
        phone = anywhere.read(text)
    except Rejected:
        return
    assert phone[0] == "+"
    assert phone[1:].isascii()
    assert phone[1:].isdigit()
    assert len(phone) <= 16
    assert anywhere.read(phone) == phone

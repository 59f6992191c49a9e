"""What an SMS is taken for: an answer to an alert, or something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.escalation.answer import Answer, parse_answer


@pytest.mark.parametrize(
    "text",
    ["OK 1234", "ok1234", " Ok, 1234!", "OK: #1234", "ОК 1234", "ок1234 еду", "0K 1234", "ack 1234", "Принято 1234.",
     "OK\n1234\nна месте в 12:30", "1234", " 1234. "],
)  # fmt: skip
def test_an_answer_names_its_number(text):
    """However a thumb writes it: Cyrillic letters, no blank, words after it."""
    assert parse_answer(text) == Answer("1234")


@pytest.mark.parametrize("text", ["OK", "ok.", "Ок!", "принял, еду", "Okay then"])
def test_an_answer_may_name_none(text):
    """Then it means the only alert there is."""
    assert parse_answer(text) == Answer(None)


@pytest.mark.parametrize(
    "text",
    ["", " ", "okna 1234", "no", "STOP", "1234 рублей", "+79991234567", "call me 1234", "12", "ok 12", "ok 12345678",
     "ok on 5th", "\0\ud800", "нет 1234", "tok 1234"],
)  # fmt: skip
def test_what_only_looks_like_one_is_none(text):
    """A number in a sentence, another word, a number of another length."""
    assert parse_answer(text) is None


@given(st.text(max_size=400) | st.from_regex(r"(?i)\W{0,5}(ok|ок|ack)?\W{0,5}\d{0,9}.{0,20}", fullmatch=True))
def test_a_strangers_text_is_read_or_passed_over(text):
    """Whatever it holds: a number read is one a text of ours could name."""
    answer = parse_answer(text)
    if answer is not None and answer.number is not None:
        assert answer.number.isascii()
        assert answer.number.isdigit()
        assert 3 <= len(answer.number) <= 6
        assert answer.number in text

"""How far a text may change to save parts: four ways to write it, and who chooses among them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.config.model import MessageDefaults
from mailbridge.intake.compose import Composer, candidates, write
from mailbridge.intake.fold import transliterate
from mailbridge.intake.options import Options
from mailbridge.intake.parse import parse_mail
from mailbridge.intake.segments import count_segments
from mailbridge.intake.shorten import SHORT_FORMS, abbreviate
from mailbridge.model.mail import Recipient
from mailbridge.model.phone import Phone

NOW = datetime(2026, 1, 14, tzinfo=UTC)
#: 75 characters: two parts because of its quotes and its dash, one without
TYPOGRAPHIC = "“db1” — disk is nearly full, 96 % of all that there is has been taken by now"
RUSSIAN = "Высокая загрузка процессора на сервере приложений: 97 %, предел 90 %, уже 12 минут"


def compose(text, *, rule=None, options=(), headers="", **settings):
    """Return the message for a mail with only this text."""
    content = f"{headers}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}".encode()
    recipient = Recipient(
        address="79991234567@sms.local", channel="sms", phone=Phone("+79991234567"), options=tuple(options)
    )
    composer = Composer(MessageDefaults(**settings))
    return composer.compose(parse_mail(content), recipient, NOW, set_by_rule=rule or Options())


@pytest.mark.parametrize(
    ("fit", "text", "parts", "way"),
    [
        (None, TYPOGRAPHIC, 2, "faithful"),
        ("faithful", TYPOGRAPHIC, 2, "faithful"),
        ("folded", TYPOGRAPHIC, 1, "folded"),
        ("cheapest", TYPOGRAPHIC, 1, "folded"),
        ("folded", RUSSIAN, 2, "faithful"),
        ("cheapest", RUSSIAN, 1, "transliterated"),
        ("cheapest", "short — «кратко»", 1, "faithful"),
    ],
)
def test_the_most_faithful_of_the_fewest_parts(fit, text, parts, way):
    """Only the ways that ``fit`` allows are taken, and a cheaper one only where it saves a part."""
    message = compose(text, fit=fit)
    assert message.parts == parts
    assert message.text == next(one.text for one in candidates(text) if one.name == way)
    assert bool(message.notes) is (way != "faithful")


def test_short_forms_are_the_last_resort():
    """A text that is two parts in every other way becomes one by its short forms, and the note says so."""
    text = "WARNING: temperature threshold of interface connection on application server " * 2 + "exceeded, see logs"
    message = compose(text, fit="cheapest", max_parts=1)
    assert message.parts == 1
    assert message.text.startswith("WARN: temp thresh of if conn on app srv WARN: temp")
    assert message.notes == ("abbreviated to save parts: 1 instead of 2",)


def test_the_mails_own_word_wins():
    """A header wins over the address, that over a rule, that over the configuration."""
    rule = Options(fit="cheapest")
    assert compose(RUSSIAN, rule=rule).parts == 1
    assert compose(RUSSIAN, rule=rule, options=[("fit", "faithful")]).parts == 2
    assert compose(RUSSIAN, rule=Options(fit="faithful"), headers="X-SMS-Fit: cheapest\r\n").parts == 1
    # whoever asks for the letters has decided: the rule's fit says nothing then
    assert compose(RUSSIAN, rule=rule, options=[("translit", "0")]).parts == 2
    assert compose(RUSSIAN, rule=Options(translit="0"), fit="cheapest").parts == 2


def test_a_rule_may_ask_for_both():
    """``translit: auto`` beside ``fit: cheapest``, as the documentation shows it, is cheapest."""
    assert compose(RUSSIAN, rule=Options(translit="auto", fit="cheapest")).parts == 1


def test_short_forms_are_shorter():
    """No row of the table makes a text longer."""
    assert [word for word, short in SHORT_FORMS.items() if len(transliterate(short)) >= len(transliterate(word))] == []


@settings(deadline=None)
@given(st.text(max_size=300))
def test_abbreviating_never_costs(text):
    """The abbreviated text is no more parts than the transliterated one, and nothing becomes empty but blanks."""
    short = abbreviate(text)
    assert count_segments(short)[1] <= count_segments(transliterate(text))[1]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=400), st.sampled_from(["faithful", "folded", "cheapest"]), st.integers(1, 4))
def test_what_goes_out_keeps_its_parts(text, fit, max_parts):
    """Whatever the text and the choice, the parts asked for are kept and counted right."""
    written = write(text, "0", max_parts, fit=fit)
    assert written.parts <= max_parts
    assert count_segments(written.text) == (written.alphabet, written.parts, count_segments(written.text)[2])

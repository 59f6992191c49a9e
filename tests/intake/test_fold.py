"""Folding and transliterating."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.fold import TRANSLIT_1, TRANSLIT_2, TYPOGRAPHY, fold, gateway_translit, transliterate
from mailbridge.intake.segments import is_gsm

RUSSIAN = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя"


@pytest.mark.parametrize(("char", "replacement"), TYPOGRAPHY.items())
def test_each_row_is_needed_and_helps(char, replacement):
    """A row stands for one character that GSM lacks, and its replacement is GSM; only ё stays Cyrillic."""
    assert len(char) == 1
    assert not is_gsm(char)
    assert is_gsm(replacement) or replacement in "еЕ"
    assert fold(f"a{char}b") == f"a{replacement}b"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("«Да» — “no” ‘x’…", '"Да" - "no" \'x\'...'),
        ("№ 5", "No. 5"),
        ("ёж Ёлка", "еж Елка"),
        ("a\u00a0b\u2009c\u3000d\te", "a b c d e"),
        ("zero\u200bwidth\ufeff so\u00adft", "zerowidth soft"),
        ("a → b ← c", "a -> b <- c"),
        ("• one", "* one"),
        ("ﬁle ＡＢ１２", "file AB12"),
        ("naïve façade Łódź", "naive facade Lodz"),
        ("cafe\u0301 x\u0302", "café x"),
        ("`cmd`", "'cmd'"),
        ("25°C 10³ ½", "25degC 10^3  1/2"),
        ("й и\u0306", "й й"),
        ("日本 😀 ї", "日本 😀 ї"),
        ("Ñandú é Å", "Ñandu é Å"),
        ("㎏ ①", "㎏ 1"),
    ],
)
def test_folding(text, folded):
    """Typography becomes what GSM has; letters of other scripts and emoji stay."""
    assert fold(text) == folded


@given(st.text(max_size=200))
def test_folding_is_idempotent(text):
    """Folding a folded text changes nothing."""
    assert fold(fold(text)) == fold(text)


def test_only_a_question_mark_becomes_one():
    """Neither strength writes a question mark for any character that is not punctuation."""
    others = [char for char in map(chr, range(0x20000)) if unicodedata.category(char) not in {"Po", "Cs", "Cn", "Co"}]
    assert [char for char in others if "?" in fold(char) + transliterate(char)] == []
    assert transliterate("\ufffd") == "\ufffd"
    assert transliterate("؟") == "?"


@pytest.mark.slow
@given(st.text(alphabet=st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=60))
def test_no_character_is_lost(text):
    """A character that is seen leaves something behind when it is transliterated."""
    for char in text:
        if char not in "ъьЪЬ":
            assert transliterate(char) or TYPOGRAPHY.get(char) == "", char


@given(st.text(alphabet=st.sampled_from(RUSSIAN + RUSSIAN.upper() + " ,.!«»—№…1"), max_size=300))
def test_russian_always_becomes_gsm(text):
    """Any Russian text, typography included, is transliterated into the GSM alphabet."""
    assert is_gsm(transliterate(text))


@pytest.mark.parametrize(
    ("text", "latin"),
    [
        ("Привет, мир", "Privet, mir"),
        ("Щука и ЩУКА и Я", "Schuka i SCHUKA i Ya"),
        ("ЖЁСТКИЙ ДИСК", "ZHESTKIJ DISK"),
        ("объём", "obem"),
        ("Україна", "Ukraina"),
        ("🔴 сбой", ":red_circle: sboj"),
        ("Δ ok", "Δ ok"),
    ],
)
def test_transliteration(text, latin):
    """Russian reads as the gateway's own first mode writes it, capitals stay capitals, the rest goes by sound or name."""
    assert transliterate(text) == latin


@pytest.mark.parametrize("char", RUSSIAN)
def test_the_gateways_modes_cover_the_alphabet(char):
    """Both modes turn each letter, small and capital, into GSM and keep the length of its other case."""
    for mode, table in ((1, TRANSLIT_1), (2, TRANSLIT_2)):
        small, capital = gateway_translit(char, mode), gateway_translit(char.upper(), mode)
        assert small == table[char]
        assert is_gsm(small + capital)
        assert len(small) == len(capital)


def test_the_gateways_documented_words():
    """The two words its documentation shows come out as it shows them."""
    assert gateway_translit("транслит", 1) == "translit"
    assert gateway_translit("транслит", 2) == "mpaHc/Ium"
    assert gateway_translit("Ж…", 1) == "Zh…"
    assert gateway_translit("Ж", 0) == "Ж"


def test_memory_for_odd_characters_is_bounded():
    """A text of every code point is folded without remembering all of them."""
    text = "".join(chr(code) for code in range(0x3400, 0x9FFF))
    assert fold(text) == text

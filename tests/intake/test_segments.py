"""Alphabets, parts and cutting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.fold import gateway_translit
from mailbridge.intake.segments import (
    GSM_BASIC,
    GSM_EXTENSION,
    MAX_TEXT_CHARS,
    alphabet_of,
    count_segments,
    fit,
    is_gsm,
    split_segments,
)
from mailbridge.model.message import Alphabet

GSM, UCS2 = Alphabet.GSM7, Alphabet.UCS2
#: 3GPP TS 23.038 6.2.1 once more, by Unicode code point and independent of the module's own table
BASIC_POINTS = [
    0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5,
    0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0x1B, 0xC6, 0xE6, 0xDF, 0xC9,
    0x20, 0x21, 0x22, 0x23, 0xA4, *range(0x25, 0x40),
    0xA1, *range(0x41, 0x5B), 0xC4, 0xD6, 0xD1, 0xDC, 0xA7,
    0xBF, *range(0x61, 0x7B), 0xE4, 0xF6, 0xF1, 0xFC, 0xE0,
]  # fmt: skip
EXTENSION_POINTS = {
    0x0A: 0x0C,
    0x14: 0x5E,
    0x28: 0x7B,
    0x29: 0x7D,
    0x2F: 0x5C,
    0x3C: 0x5B,
    0x3D: 0x7E,
    0x3E: 0x5D,
    0x40: 0x7C,
    0x65: 0x20AC,
}
#: texts with what matters: plain, two septets, beyond GSM, two units, marks, joiners, flags
mixed = st.text(
    alphabet=st.one_of(st.sampled_from("aZ ^{}€\nяй😀🇷🇺👨\u200d👩\u0301ё…"), st.characters(codec="utf-8")), max_size=700
)


def test_the_tables_are_complete():
    """The default alphabet has its 128 codes and the extension its ten, each as 3GPP TS 23.038 has it."""
    assert [ord(c) for c in GSM_BASIC] == BASIC_POINTS
    assert {code: ord(c) for code, c in GSM_EXTENSION.items()} == EXTENSION_POINTS
    assert len(set(GSM_BASIC)) == 128
    assert len(GSM_EXTENSION) == 10


@pytest.mark.parametrize("code", [c for c in range(128) if c != 0x1B])
def test_each_basic_character_is_one_septet(code):
    """Every character of the default alphabet costs one septet; the escape is none."""
    assert count_segments(GSM_BASIC[code]) == (GSM, 1, 1)


@pytest.mark.parametrize("char", GSM_EXTENSION.values())
def test_each_extension_character_is_two_septets(char):
    """Every character of the extension table costs two septets."""
    assert count_segments(char) == (GSM, 1, 2)


@pytest.mark.parametrize("char", ["\x1b", "`", "ç", "я", "“", "…", "\u00a0", "\t", "😀", "á"])
def test_other_characters_need_ucs2(char):
    """What neither table holds travels in UCS-2."""
    assert not is_gsm(char)
    assert alphabet_of("a" + char) is UCS2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (GSM, 1, 0)),
        ("a" * 160, (GSM, 1, 160)),
        ("a" * 161, (GSM, 2, 161)),
        ("a" * 306, (GSM, 2, 306)),
        ("a" * 307, (GSM, 3, 307)),
        ("я" * 70, (UCS2, 1, 70)),
        ("я" * 71, (UCS2, 2, 71)),
        ("я" * 134, (UCS2, 2, 134)),
        ("я" * 135, (UCS2, 3, 135)),
        ("a" * 159 + "€", (GSM, 2, 161)),
        ("€" * 80, (GSM, 1, 160)),
        # 76 of two septets fill 152 of 153: the 153rd septet of each part stays empty
        ("€" * 153, (GSM, 3, 306)),
        ("😀" * 35, (UCS2, 1, 70)),
        # 33 pairs fill 66 of 67 units
        ("😀" * 67, (UCS2, 3, 134)),
        ("a" * 69 + "😀", (UCS2, 2, 71)),
    ],
)
def test_parts(text, expected):
    """Parts follow 160/153 and 70/67, and what takes two units is never torn."""
    assert count_segments(text) == expected


def test_nothing_of_two_units_is_torn():
    """An extension character and a surrogate pair at a part's edge move to the next part whole."""
    assert [len(part) for part in split_segments("a" * 152 + "€" + "b" * 20)] == [152, 21]
    assert split_segments("я" * 66 + "😀" + "я" * 10) == ["я" * 66, "😀" + "я" * 10]


@given(mixed)
def test_joined_parts_give_the_text_back(text):
    """Splitting loses and adds nothing, agrees with the count, and each part has room for itself."""
    parts = split_segments(text)
    alphabet, count, units = count_segments(text)
    assert "".join(parts) == text
    assert len(parts) == count
    room = (160 if alphabet is GSM else 70) if count == 1 else (153 if alphabet is GSM else 67)
    sizes = [
        sum(2 if c in GSM_EXTENSION.values() else 1 for c in part)
        if alphabet is GSM
        else len(part.encode("utf-16-le")) // 2
        for part in parts
    ]
    assert sum(sizes) == units
    assert all(size <= room for size in sizes)


@given(mixed, st.integers(1, 6))
def test_a_cut_text_always_fits(text, max_parts):
    """Whatever the text, the result has no more than the parts allowed, and a text that fits is untouched."""
    cut = fit(text, max_parts)
    assert count_segments(cut)[1] <= max_parts
    assert len(cut) <= MAX_TEXT_CHARS
    if count_segments(text)[1] <= max_parts and len(text) <= MAX_TEXT_CHARS:
        assert cut == text


@given(mixed, st.integers(1, 3), st.sampled_from([1, 2]))
def test_a_text_the_gateway_transliterates_fits_as_transliterated(text, max_parts, mode):
    """For translit 1 and 2 it is the gateway's letters that must fit."""
    cut = fit(text, max_parts, as_sent=lambda part: gateway_translit(part, mode))
    assert count_segments(gateway_translit(cut, mode))[1] <= max_parts


def test_the_ellipsis_goes_with_the_alphabet():
    """A cut GSM text ends in three dots, a cut UCS-2 text in one ellipsis character."""
    latin, cyrillic = fit("word " * 100, 1), fit("слово " * 100, 1)
    assert latin.endswith("word...")
    assert count_segments(latin)[0] is GSM
    assert cyrillic.endswith("слово…")


def test_a_late_character_beyond_gsm_does_not_shorten_the_text():
    """Where the only Cyrillic stands behind the cut, the part before it is cut as GSM."""
    cut = fit("a" * 158 + "я" * 200, 1)
    assert cut == "a" * 157 + "..."


@given(st.text("ab \n{é", min_size=100, max_size=1100), st.integers(1, 8), st.sampled_from([1, 50, 300, 1000]))
def test_the_place_of_a_cut_is_the_same_where_it_is_known_and_where_it_is_looked_for(text, max_parts, max_chars):
    """Of letters of one septet each the place is known; elsewhere, and with a transliteration, it is looked for."""
    looked_for = fit(text, max_parts, as_sent=lambda part: part, max_chars=max_chars)
    assert fit(text, max_parts, max_chars=max_chars) == looked_for


def test_a_text_without_blanks_is_cut_at_the_last_unit():
    """No word ends near by: as much as fits stays."""
    assert fit("я" * 200, 1) == "я" * 69 + "…"
    assert fit("a" * 400, 2) == "a" * 303 + "..."


@pytest.mark.parametrize("cluster", ["e\u0301", "👩\u200d💻", "👍🏽", "🇷🇺"])
def test_a_cut_keeps_composed_characters_whole(cluster):
    """A mark, a joined emoji, a skin tone or a flag is kept whole or dropped whole."""
    for lead in range(len(cluster) + 1):
        cut = fit("я" * lead + cluster * 100, 1)
        body = cut.removeprefix("я" * lead).removesuffix("…")
        assert body == cluster * (len(body) // len(cluster))


def test_a_word_that_ends_at_the_cut_stays_whole():
    """Where the next character is a blank, nothing is given up."""
    assert fit("a" * 100 + " " + "b" * 56 + " " + "c" * 50, 1) == "a" * 100 + " " + "b" * 56 + "..."


def test_endless_marks_do_not_keep_a_cut_from_falling():
    """A character with hundreds of marks is cut somewhere."""
    assert len(fit("a" + "\u0301" * 500, 1)) == 70


def test_the_gateways_longest_text_is_kept_to():
    """Twenty parts of Latin would be 3060 characters, the gateway takes 1000."""
    cut = fit("a" * 3000, 20)
    assert len(cut) == 1000
    assert cut.endswith("a...")
    assert fit("a" * 1000, 20) == "a" * 1000

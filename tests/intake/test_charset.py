"""Charsets as declared, as meant, and as lied about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.intake.charset import codec_name, decode

TEXTS = [
    "Сервер недоступен, диск заполнен на 95%",
    "Внимание! Пожар в ЦОД-2",
    "ТРЕВОГА",
    "АВАРИЯ НА СЕРВЕРЕ",
    "Проверка",
    "Отключение ИБП",
    "ДВЕРЬ ОТКРЫТА",
    "Ошибка 5 на web01",
]
ENCODINGS = ["cp1251", "koi8-r", "cp866", "iso8859-5", "utf-8"]


@pytest.mark.parametrize(
    ("spelling", "codec"),
    [
        ("win-1251", "cp1251"), ("cp-1251", "cp1251"), ("x-cp1251", "cp1251"), ("windows1251", "cp1251"),
        ("WINDOWS-1251", "cp1251"), ('"windows-1251"', "cp1251"), ("ansi-1251", "cp1251"), ("koi8r", "koi8-r"),
        ("KOI8-R", "koi8-r"), ("koi8", "koi8-r"), ("koi8-u", "koi8-u"), ("ibm866", "cp866"), ("dos-866", "cp866"),
        ("iso_8859-5", "iso8859-5"), ("utf8", "utf-8"), ("UTF-8", "utf-8"), ("unicode-1-1-utf-7", "utf-7"),
        ("ansi_x3.4-1968", "ascii"), ("us-ascii", "ascii"), ("latin1", "cp1252"), ("ISO-8859-1", "cp1252"),
        ("gb2312", "gb18030"), ("shift_jis", "shift_jis"), ("iso-8859-2", "iso8859-2"),
    ],
)  # fmt: skip
def test_spellings_seen_in_mails_are_known(spelling, codec):
    """Whatever a device calls a charset, the codec meant is found."""
    assert codec_name(spelling) == codec


@pytest.mark.parametrize(
    "name",
    ["", "x-unknown", "zlib", "base64", "hex", "rot13", "punycode", "idna", "undefined", "unicode_escape",
     "raw_unicode_escape", "a" * 1000, "кои8", "\0", "../../etc/passwd", "binary", "8bit"],
)  # fmt: skip
def test_what_is_no_charset_is_refused(name):
    """A codec that is no charset of mails is never run on a stranger's bytes."""
    assert codec_name(name) is None


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("declared", ["", "us-ascii", "iso-8859-1", "x-unknown", "utf-8", "unknown-8bit"])
def test_a_lying_charset_is_seen_through(text, encoding, declared):
    """Russian is read whatever Western or no charset was declared."""
    assert decode(text.encode(encoding), declared).text == text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
@pytest.mark.parametrize("declared", ["windows-1251", "koi8-r"])
def test_one_cyrillic_table_declared_another_used(text, encoding, declared):
    """The letters tell koi8-r from windows-1251, even in one word of capitals."""
    decoded = decode(text.encode(encoding), declared)
    assert decoded.text == text
    assert bool(decoded.note) == (codec_name(declared) != codec_name(encoding))


@pytest.mark.parametrize("text", ["Température élevée", "Lüfter 3 gestört, Gerät prüfen", "café", "35 °C", "§ 5 · ±2"])
@pytest.mark.parametrize("declared", ["iso-8859-1", "windows-1252"])
def test_western_text_stays_western(text, declared):
    """Accents among plain letters are no Cyrillic."""
    assert decode(text.encode("cp1252"), declared).text == text


def test_degrees_without_a_charset():
    """A degree sign from a sensor that never heard of charsets."""
    assert decode(b"Temperature 31.5\xb0C", "").text == "Temperature 31.5°C"


@pytest.mark.parametrize(
    ("raw", "declared", "text"),
    [
        ("\ufeffПривет".encode(), "", "Привет"),
        (b"\xff\xfe" + "Привет".encode("utf-16-le"), "utf-16", "Привет"),
        (b"\xfe\xff" + "Привет".encode("utf-16-be"), "us-ascii", "Привет"),
        ("Привет, мир".encode("utf-16-le"), "utf-16", "Привет, мир"),
        ("Проверка связи".encode("utf-16-le"), "", "Проверка связи"),
        ("Disk full".encode("utf-16-be"), "", "Disk full"),
        ("Привет".encode("utf-7"), "unicode-1-1-utf-7", "Привет"),
        ("你好,世界".encode("gb2312"), "gb2312", "你好,世界"),
        ("警告".encode("shift_jis"), "shift_jis", "警告"),
        ("警告".encode("iso2022_jp"), "iso-2022-jp", "警告"),
        ("Łódź".encode("iso8859-2"), "iso-8859-2", "Łódź"),
        ("Київ, сервер недоступний".encode("koi8-u"), "koi8-u", "Київ, сервер недоступний"),
        ("Київ".encode("cp1251"), "windows-1251", "Київ"),
        (b"plain", "x-unknown", "plain"),
        (b"", "utf-16", ""),
    ],
)
def test_marks_and_wide_and_eastern(raw, declared, text):
    """Byte order marks, UTF-16 without one, UTF-7 and multi-byte tables."""
    assert decode(raw, declared).text == text


def test_utf8_cut_in_a_character_loses_only_that():
    """A device that cuts at a number of bytes does not turn the rest into garbage."""
    assert decode("Диск заполнен".encode()[:-1], "utf-8").text == "Диск заполне"


def test_broken_utf8_in_the_middle_is_noted():
    """One lost byte in a long UTF-8 text costs one character, and is said."""
    raw = bytearray("Сервер недоступен, проверьте питание".encode())
    del raw[4]
    decoded = decode(bytes(raw), "utf-8")
    assert decoded.text == "Север недоступен, проверьте питание"
    assert "left out" in decoded.note


def test_last_resort_is_said():
    """Bytes that are nothing become text with a note, never an exception."""
    decoded = decode(b"\x98\x98\xff\xfe\x98", "utf-8")
    assert "losses" in decoded.note or "read as" in decoded.note


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_decode(raw, declared):
    """No bytes and no declaration raise."""
    assert isinstance(decode(raw, declared).text, str)


@given(
    st.binary(max_size=100),
    st.sampled_from(["utf-7", "utf-16", "hz", "iso-2022-jp", "iso-2022-kr", "gb2312", "cp1251"]),
)
def test_any_bytes_decode_with_known_charsets(raw, declared):
    """Neither do the charsets with a state of their own."""
    assert isinstance(decode(raw, declared).text, str)


@pytest.mark.parametrize(
    ("raw", "declared", "text"),
    [
        (b"Probe \xbb Network \xbb sw1", "utf-8", "Probe » Network » sw1"),
        (b"Prix 5 \xa4", "iso-8859-15", "Prix 5 €"),
        (b"45 \xb0C", "us-ascii", "45 °C"),
    ],
)
def test_lone_signs_are_no_letters(raw, declared, text):
    """One or two bytes above ASCII, alone between blanks, are a sign before they are a letter of an old table."""
    assert decode(raw, declared).text == text

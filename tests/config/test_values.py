"""Durations, sizes, listen addresses and smarthosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.config.addresses import (
    TcpAddress,
    UnixAddress,
    is_private_host,
    parse_listen,
)
from mailbridge.config.smarthost import parse_smarthost
from mailbridge.config.template import FILTERS, VARIABLES
from mailbridge.config.units import format_duration, format_size, parse_duration, parse_size
from mailbridge.intake.sandbox import ENVIRONMENT
from mailbridge.intake.template import NAMES


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300ms", 0.3),
        ("10s", 10),
        ("5m", 300),
        ("4h", 14400),
        ("2d", 172800),
        ("1w", 604800),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("0", 0),
        ("1.5s", 1.5),
        (7, 7.0),
    ],
)
def test_durations(text, seconds: float):
    """A number and a unit, or several of them."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 seconds", "-5s", "1h30", "5x", "٣s", "1e3s", "9" * 400 + "s", "10s!", True, "s10"]
)
def test_not_durations(text):
    """A number without unit is not guessed at."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512KB", 512_000), ("10MB", 10**7), ("1GiB", 2**30), ("100", 100), ("1.5kb", 1500), ("7 B", 7)]
)
def test_sizes(text: str, size: int):
    """KB is 1000 and KiB 1024, in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "ten", "-1", "10TB", "9" * 400, "1,5MB", False])
def test_not_sizes(text):
    """Nothing else is a size."""
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@given(st.integers(0, 10**12))
def test_written_sizes_and_durations_read_back(number: int):
    """What is shown is what was meant, to the byte and the millisecond."""
    assert parse_size(format_size(number)) == number
    assert round(parse_duration(format_duration(number / 1000)) * 1000) == number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:2525", TcpAddress(host="127.0.0.1", port=2525)),
        ("[::1]:25", TcpAddress(host="::1", port=25)),
        ("localhost:0", TcpAddress(host="localhost", port=0)),
        ("[::]:65535", TcpAddress(host="::", port=65535)),
        ("unix:/run/x.sock", UnixAddress(path="/run/x.sock")),
    ],
)
def test_listen_addresses(text: str, address):
    """An address reads and writes the same."""
    assert parse_listen(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":25",
        "*:25",
        "25",
        "host",
        "host:",
        "host:x",
        "host:-1",
        "host:65536",
        "::1:25",
        "[::1]",
        "[::1:25",
        "[x]:25",
        "1.2.3:25",
        "300.1.1.1:25",
        "a b:25",
        "unix:",
        "unix:x",
        "unix:/" + "x" * 200,
        "h:٣",
        "-x:25",
        "http://h:25",
    ],
)
def test_not_listen_addresses(text: str):
    """What is wrong is said together with what to write instead."""
    with pytest.raises(ValueError, match="; "):
        parse_listen(text)


SMARTHOSTS = [
    "smtp://h",
    "smtp://h:2525/",
    "smtps://h",
    "smtp://[::1]:26",
    "smtp://127.0.0.1?starttls=off",
    "smtp://u%40x:p%2F%3A@mail.example.org:587?starttls=required",
    "smtp://u:p@mail.example.org",
    "smtp://u:p@localhost?starttls=auto",
    "smtps://u:p@mail.example.org",
]
NOT_SMARTHOSTS = [
    "",
    "h",
    "http://h",
    "smtp://",
    "smtp://h:x",
    "smtp://h:0",
    "smtp://h:99999",
    "smtp://h/path",
    "smtp://h?tls=on",
    "smtp://h?starttls=maybe",
    "smtp://u@h",
    "smtp://:p@h",
    "smtps://h?starttls=required",
    "smtp://u:canary@mail.example.org?starttls=off",
    "smtp://a b",
    "smtp://[::1",
    "smtp://u:canary#@h",
]


@pytest.mark.parametrize("url", SMARTHOSTS)
def test_smarthosts(url: str):
    """A good smarthost is let pass."""
    parse_smarthost(url)


@pytest.mark.parametrize("url", NOT_SMARTHOSTS)
def test_not_smarthosts(url: str):
    """A wrong smarthost is refused without repeating any of it."""
    with pytest.raises(ValueError, match="; ") as caught:
        parse_smarthost(url)
    assert "canary" not in str(caught.value)


def test_templates_know_what_the_composer_knows():
    """Names and filters that pass the check are those that a mail's text can be made of."""
    assert set(NAMES) == VARIABLES
    assert set(ENVIRONMENT.filters) >= FILTERS


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("127.0.0.1", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("localhost", True),
        ("simulator", True),
        ("8.8.8.8", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("smsc.ru", False),
        ("fe80::1", False),
    ],
)
def test_private_hosts(host: str, private: bool):
    """Where plain http may go: this machine, private networks, names of containers; never link-local."""
    assert is_private_host(host) is private

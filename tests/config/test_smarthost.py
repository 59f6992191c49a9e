"""The smarthost's URL: what is read, what is refused, and that the password stays hidden."""

from __future__ import annotations

import pytest

from mailbridge.config.smarthost import Smarthost, StartTls, parse_smarthost


@pytest.mark.parametrize(
    ("url", "host", "port", "implicit", "starttls", "user", "password"),
    [
        ("smtp://127.0.0.1:25", "127.0.0.1", 25, False, "auto", None, None),
        ("smtp://mail.example.org", "mail.example.org", 25, False, "auto", None, None),
        ("smtp://mail.example.org/", "mail.example.org", 25, False, "auto", None, None),
        ("SMTP://Mail.Example.org:2525", "mail.example.org", 2525, False, "auto", None, None),
        ("smtp://[::1]:26?starttls=off", "::1", 26, False, "off", None, None),
        ("smtps://mail.example.org", "mail.example.org", 465, True, "auto", None, None),
        ("smtp://u:p@mail.example.org", "mail.example.org", 25, False, "required", "u", "p"),
        ("smtp://u:p@127.0.0.1:25", "127.0.0.1", 25, False, "auto", "u", "p"),
        ("smtp://u:p@localhost:25?starttls=off", "localhost", 25, False, "off", "u", "p"),
        ("smtps://u%40x:p%2F%3A%40@mail.example.org:466", "mail.example.org", 466, True, "auto", "u@x", "p/:@"),
        ("smtp://mail.example.org?starttls=required", "mail.example.org", 25, False, "required", None, None),
    ],
)
def test_urls_are_read(*, url, host, port, implicit, starttls, user, password):
    """Each form of the URL gives host, port, TLS and credentials."""
    smarthost = parse_smarthost(url)
    assert (smarthost.host, smarthost.port, smarthost.implicit_tls) == (host, port, implicit)
    assert (smarthost.starttls, smarthost.user) == (StartTls(starttls), user)
    assert (smarthost.password and smarthost.password.get_secret_value()) == password


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "smtp://"),
        ("127.0.0.1:25", "smtp://"),
        ("http://u:hunter2@h", "smtp://"),
        ("smtp://", "host"),
        ("smtp://u:hunter2@h:99999", "port"),
        ("smtp://u:hunter2@h:x", "port"),
        ("smtp://h:0", "port"),
        ("smtp://[::1", "host"),
        ("smtp://u@h", "password"),
        ("smtp://:hunter2@h", "user"),
        ("smtp://h/path", "path"),
        ("smtp://u:hunt#er2@h", "%23"),
        ("smtp://h?starttls=maybe", "required"),
        ("smtp://h?tls=on", "starttls"),
        ("smtps://h?starttls=required", "smtps://"),
        ("smtp://u:hunter2@mail.example.org?starttls=auto", "starttls=required"),
        ("smtp://u:hunter2@mail.example.org?starttls=off", "starttls=required"),
        ("smtp://h\r\nX: y", "spaces"),
        ("smtp://h h", "spaces"),
    ],
)
def test_bad_urls_are_refused_in_words_that_help(url, word):
    """The error says what to write, and never the password."""
    with pytest.raises(ValueError) as caught:
        parse_smarthost(url)
    assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_does_not_show():
    """Both repr and str of the value hide the password."""
    smarthost = parse_smarthost("smtps://u:hunter2@mail.example.org")
    assert "hunter2" not in repr(smarthost) + str(smarthost)
    assert str(smarthost) == "mail.example.org:465"
    assert str(Smarthost(host="::1", port=25)) == "[::1]:25"

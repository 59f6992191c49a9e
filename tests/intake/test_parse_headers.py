"""Header values as people read them: encoded words whole and broken, raw bytes, addresses."""

from __future__ import annotations

import pytest

from mailbridge.intake.headers import decode_value, parse_from


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?B?0J/RgNC40LLQtdGC?=", "Привет"),
        (b"=?UTF-8?q?=D0=AF_x?= tail", "Я x tail"),
        (b"=?utf-8?B?0J8=?= =?utf-8?B?0YA=?=", "Пр"),
        (b"=?utf-8?B?0J8=?=\r\n =?koi8-r?B?0A==?=", "Пп"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        # a character split between two words
        (b"=?utf-8?B?0A==?= =?utf-8?B?nw==?=", "П"),
        (b"=?utf-8?Q?=D0?= =?utf-8?Q?=9F?=", "П"),
        # padding missing
        (b"=?utf-8?B?0J/RgA?=", "Пр"),
        (b"=?utf-8?B?0J/RgNC4?==?utf-8?B?0LLQtdGC?=", "Привет"),
        # one base64 stream cut anywhere
        (b"=?utf-8?B?0J/Rg?= =?utf-8?B?NC40LLQtdGC?=", "Привет"),
        # the encoding changes within a character, the end is broken off, a blank before the mark, RFC 4648's other signs
        (b"=?utf-8?Q?=D0=9F=D1?= =?utf-8?B?gA==?=", "Пр"),
        (b"=?utf-8?B?0J/RgNC40LLQtdGC?", "Привет"),
        (b"=?utf-8 ?B?0J/RgNC40LLQtdGC?=", "Привет"),
        (b"=?utf-8?B?Pj4_?=", ">>?"),
        # each line padded by itself
        (b"=?utf-8?B?0J8=0YA=?=", "Пр"),
        # surrogates of three bytes each
        (b"=?utf-8?Q?=ED=A0=BD=ED=B4=A5_x?=", "\U0001f525 x"),
        (b"=?us-ascii?Q?=1B$B%5!<=1B(B?=", "サー"),
        # spaces inside, underscores, a question mark inside
        (b"=?utf-8?Q?=D0=AF and more?=", "Я and more"),
        (b"=?utf-8?Q?a_b=5Fc?=", "a b_c"),
        (b"=?utf-8?Q?really?_yes?=", "really? yes"),
        # not ended
        (b"=?utf-8?B?0J/RgNC40LLQtdGC", "Привет"),
        # charsets unknown, misspelt, lying
        (b"=?win-1251?B?z/Do4uXy?=", "Привет"),
        (b"=?x-unknown?B?z/Do4uXy?=", "Привет"),
        (b"=?us-ascii?Q?=CF=F0=E8=E2=E5=F2?=", "Привет"),
        (b"=?unicode_escape?Q?=5Cud800?=", "\\ud800"),
        (b"=?utf-8*ru?Q?=D0=AF?=", "Я"),
        (b'"=?utf-8?Q?=D0=AF?="', '"Я"'),
        (b"(=?utf-8?Q?=D0=AF?=)", "(Я)"),
        # injection
        (b"=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        (b"=?utf-8?Q?a=00=1B[31mb?=", "ab"),
        (b"=?utf-8?B?4oCuZXhl?=", "exe"),
        # raw eight bits
        ("Привет".encode(), "Привет"),
        ("Проверка связи".encode("cp1251"), "Проверка связи"),
        ("Проверка связи".encode("koi8-r"), "Проверка связи"),
        ("Проверка связи".encode("koi8-r") + b" =?utf-8?Q?=D0=AF?=", "Проверка связи Я"),
        (b"=?", "=?"),
        (b"=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        (b"50 =? x ?= y", "50 =? x ?= y"),
    ],
)
def test_values(raw, text):
    """One readable line, whatever the sender did."""
    assert decode_value(raw) == text


@pytest.mark.parametrize(
    ("raw", "name", "address"),
    [
        (b"a@b.c", "", "a@b.c"),
        (b"<a@b.c>", "", "a@b.c"),
        (b"Nagios <a@b.c>", "Nagios", "a@b.c"),
        (b'"Petrov, Boris" <a@b.c>', "Petrov, Boris", "a@b.c"),
        (b'"a \\"q\\" b" <a@b.c>', 'a "q" b', "a@b.c"),
        (b"a@b.c (Cron Daemon)", "Cron Daemon", "a@b.c"),
        (b"=?utf-8?B?0JDQvdC90LA=?= <a@b.c>", "Анна", "a@b.c"),
        (b"=?utf-8?B?0JDQvdC90LA=?=<a@b.c>", "Анна", "a@b.c"),
        (b"boss@bank.example <evil@x.y>", "boss@bank.example", "evil@x.y"),
        (b"=?utf-8?Q?boss=40bank.example?= <evil@x.y>", "boss@bank.example", "evil@x.y"),
        (b"root", "", "root"),
        (b"root (Cron Daemon)", "Cron Daemon", "root"),
        (b"Cron Daemon <root>", "Cron Daemon", "root"),
        (b"", "", ""),
        (b"Anna <>", "Anna", ""),
        (b"<", "", ""),
        (b"a@b.c\x7f\x1b", "", "a@b.c"),
        ("Анна <a@b.c>".encode("cp1251"), "Анна", "a@b.c"),
    ],
)
def test_from(raw, name, address):
    """The address is the one in brackets, the name what stands beside it."""
    assert parse_from(raw) == (name, address)

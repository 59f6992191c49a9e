"""Whatever comes in, a well-formed answer goes out."""

import json
import re
from urllib.parse import quote_from_bytes
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from mailbridge.simulator.answers import CHARSETS, render
from mailbridge.simulator.carrier import METHODS, Carrier
from mailbridge.simulator.params import Params
from mailbridge.simulator.settings import SimulatorSettings
from tests.support.clock import FakeClock
from tests.support.simulator import UNLIMITED

CARRIER = Carrier(SimulatorSettings(limits=UNLIMITED, keep=200), clock=FakeClock())
NAMES = [
    "phones",
    "mes",
    "id",
    "list",
    "nl",
    "sender",
    "translit",
    "time",
    "tz",
    "valid",
    "cost",
    "op",
    "err",
    "maxsms",
    "flash",
    "bin",
    "push",
    "hlr",
    "ping",
    "mms",
    "mail",
    "subj",
    "call",
    "phone",
    "all",
    "del",
    "cur",
    "get_operator",
    "get_messages",
    "get_answers",
    "get_stat",
    "get_price",
    "get_senders",
    "start",
    "end",
    "cnt",
    "prev_id",
    "hour",
    "after_id",
    "to_phone",
    "format",
    *(
        "add",
        "get",
        "chg",
        "del",
        "get_all",
        "cancel",
        "grp",
        "name",
        "user",
        "sum",
        "pay",
        "tpl",
        "rpt",
        "buy",
        "link",
    ),
    *("tinyurl", "msg", "num", "search", "move_group", "add_group", "get_group", "send_code", "check_code", "sender"),
    *("get_stat_all", "get_account", "add_account", "password", "mail", "add_black", "new_phone", "code", "fl2[27]"),
]
LIKELY = st.sampled_from(
    [
        "", "0", "1", "2", "3", "1,", "1,2", ",", "79990000001", "+79990000001,7999", "8 (999) 000-00-01", "G1", "x", "я" * 80, "+5",
        "9-18", "0" * 12, "1511230213", "24:00", "²", "٣", "79990000001:a\\nb\nA,1|7999;c", "__HLR__x", "a\n~~~\nb", "\x00", "\ufffe",
        "02.03.2026", "99.99.9999", "9" * 40, "-1", "1e9", "NaN", "]]>", "a@b", "code",
    ]
)  # fmt: skip
VALUES = LIKELY | st.text(max_size=40)
ERROR_LINE = re.compile(r"ERROR = \d+ \(.+\)(, ID - \S.*)?", re.DOTALL)


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(sorted(METHODS)),
    values=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
    charset=st.sampled_from(sorted(CHARSETS)),
)
def test_any_parameters(method, values, charset):
    """Every format is well-formed and all of them tell the same verdict."""
    account = CARRIER.accounts.get("demo")
    account.balance = account.settings.balance
    reply = CARRIER.answer(method, Params(values=values, charset=charset), account, within_limit=True)
    assert reply.wire is None
    bodies = [render(reply.answer, fmt, charset) for fmt in range(4)]
    text, csv, xml, js = (body.content for body in bodies)
    data = json.loads(js.decode(CHARSETS[charset]))
    ET.fromstring(xml if xml.startswith(b"<?") or charset == "utf-8" or xml.isascii() else b"")
    failed = isinstance(data, dict) and "error_code" in data
    assert failed == bool(reply.answer.code)
    if failed:
        assert ERROR_LINE.fullmatch(text.decode(CHARSETS[charset]))
        assert csv.decode().split(",")[1] == str(-data["error_code"])


PIECES = st.sampled_from(
    [b"login=demo", b"psw=demo", b"fmt=3", b"charset=utf-8", b"charset=koi8-r", b"phones=79990000001", b"mes=%FF", b"mes=\xd0\x9f",
     b"mes=%", b"=", b"&&&", b"%00=%00", b"mes=%98", b"{", b"[1]", b'{"mes":{}}', b'{"mes":"\\ud800"}', b"+", b"\r\n"]
)  # fmt: skip
KINDS = st.sampled_from(
    ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "multipart/form-data", "text/plain", "",
     'multipart/mixed; boundary="', "a/b; charset=nonsense"]
)  # fmt: skip


@pytest.mark.parametrize("path", ["/sys/send.php", "/rest/send/", "/sys/status.php"])
async def test_any_bytes(client, path):
    """Bodies, types and queries of every sort are answered 200, never 500."""
    examples = []

    @settings(max_examples=120, deadline=None, database=None)
    @given(
        query=st.lists(PIECES, max_size=3),
        body=st.lists(PIECES | st.just(b"[" * 5000) | st.binary(max_size=20), max_size=6),
        kind=KINDS,
    )
    def collect(query, body, kind):
        examples.append((query, b"&".join(body), kind))

    collect()
    for query, body, kind in examples:
        url = client.simulator.url + path
        if query:
            url += "?" + quote_from_bytes(b"&".join(query), safe="=&%+")
        async with client.http.post(URL(url, encoded=True), data=body, headers={"Content-Type": kind}) as response:
            assert response.status == 200
            assert await response.read()

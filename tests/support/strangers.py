"""What strangers may send: strategies for mails, addresses, templates' values, forms, answers, dialogs and requests.

Most inputs are real ones that were changed: wholly random ones are refused by the first check they meet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from mailbridge.intake.template import NAMES
from tests.support.mails import MAIL_PIECES

DATA = Path(__file__).parents[1] / "data"
#: our password at the gateway, and the secret path of callbacks
SECRET = "s3cret-canary"


def _changed(seed: bytes, changes: Sequence[tuple[str, float, float, bytes]]) -> bytes:
    """Return *seed* with pieces put in, cut out, doubled, overwritten or swapped at places from 0 to 1."""
    out = bytearray(seed)
    for kind, where, length, piece in changes:
        at = int(where * len(out))
        end = min(len(out), at + 1 + int(length * length * 200))
        match kind:
            case "put":
                out[at:at] = piece
            case "cut":
                del out[at:end]
            case "double":
                out[at:at] = out[at:end]
            case "over":
                out[at : at + len(piece)] = piece
            case "swap":
                out[at:end] = out[at:end][::-1]
    return bytes(out[:20_000])


@cache
def _mail_seeds() -> tuple[bytes, ...]:
    return tuple(path.read_bytes()[:20_000] for path in sorted((DATA / "emails").glob("*.eml")))


_PLACE = st.floats(0, 1, exclude_max=True)
_HEADERS = st.sampled_from(
    [b"X-SMS-Sender: ", b"X-SMS-Text: ", b"X-SMS-Time: ", b"X-SMS-Valid: ", b"X-SMS-Id: ", b"X-SMS-Translit: ",
     b"X-SMS-Flash: ", b"X-SMS-Max-Parts: ", b"X-SMS-Channel: ", b"X-SMS-Nonsense: ", b"Message-ID: ", b"Date: "]
)  # fmt: skip
#: what would be a parameter, a record, a header or a line if it got out of its place
BREAKOUTS = st.sampled_from(
    [b"&psw=x&phones=+79990000002", b"%26mes=x", b"\r\nBcc: evil@example.org", b"=0D=0ABcc: x", b"\n79990000002:x",
     b"+79990000002:x", b"X|79990000002:x", b"__CALL__", b"~~~", b"\n~~~\n", b"\\n+79990000002:x", b"\xc2\x85x",
     b"\xe2\x80\xa8x", b"{{ 7*7 }}", b"{% for a in range(9**9) %}", b"\x1b[2J", b"\0", b"=?utf-8?q?=0D=0AX:_y?=",
     b'"}\n{"event":"sent"', b"\r\n.\r\nMAIL FROM:<>\r\n", b"<script>", b"\xed\xa0\x80", b"&#xd800;", b"&#10;"]
)  # fmt: skip
_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "cut", "double", "over", "swap"]), _PLACE, _PLACE,
        MAIL_PIECES | BREAKOUTS | _HEADERS | st.binary(max_size=8),
    ),
    max_size=8,
)  # fmt: skip
_FIELD = st.tuples(_HEADERS, st.lists(BREAKOUTS | MAIL_PIECES | st.binary(max_size=8), max_size=3)).map(
    lambda field: field[0] + b"".join(field[1]) + b"\r\n"
)
MAILS = st.one_of(
    st.builds(_changed, st.deferred(lambda: st.sampled_from(_mail_seeds())), _CHANGES),
    st.lists(MAIL_PIECES | BREAKOUTS | _HEADERS | st.binary(max_size=8), max_size=60).map(b"".join),
    st.tuples(st.lists(_FIELD, max_size=5), st.lists(BREAKOUTS | st.binary(max_size=30), max_size=5)).map(
        lambda mail: b"".join(mail[0]) + b"\r\n" + b"".join(mail[1])
    ),
)
_ADDRESS_PIECES = st.sampled_from(
    ["<", ">", "<<", "@", "sms.local", "@sms.local>", "@flash.local>", "79991234567", "+7999", "8-999-123-45-67", "(999)",
     '"', "\\", '\\"', " ", ".", "..", "+flash", "+sender=", "+time=", "+id=", "+max-parts=9", "+x", "=?utf-8?q?=0d=0a?=",
     "%", "!", ":", ",", "\r\n", "\n", "\0", "\t", "\x7f", "\x85", "é", "\u2028", "[127.0.0.1]", "@a:b@c", "a" * 300, "&psw=x"]
)  # fmt: skip
ADDRESSES = st.lists(_ADDRESS_PIECES | st.text(max_size=4), max_size=10).map("".join) | st.builds(
    "<79991234567{}@sms.local>".format, st.lists(_ADDRESS_PIECES, max_size=3).map("".join)
)
TEXTS = st.text(max_size=60) | BREAKOUTS.map(lambda octets: octets.decode("latin-1"))
_TEMPLATE_PIECES = st.sampled_from(
    ["{{ ", " }}", "{% ", " %}", "{#", "#}", "subject", "body", "headers", "sms.phone", "for x in ", "endfor", "if ", "endif",
     "range(99999)", "'a'*9999", "9**9**9", "|fit(9)", "|lines(9)", "|first_line", "|translit", "|join(body)", "|list", ".",
     "__class__", "__mro__[1]", ".__subclasses__()", "()", "[0]", "['x']", "%", "'%9999d'%1", "set a = ", "macro m()", "m()",
     "endmacro", "|replace('','x')", "|center(99999)", "|indent(9999)", "|format(1)", "loop", "cycler", "namespace()", "self",
     "lipsum(99)", "joiner", "dict", ": ", "\n", "~", "+", "-", "{{ subject }}: {{ body }}", "1/0", "|round(9**9)", "|batch(9)"]
)  # fmt: skip
TEMPLATES = st.tuples(
    st.lists(_TEMPLATE_PIECES | st.text(max_size=5), max_size=12).map("".join),
    st.dictionaries(st.sampled_from(NAMES[:5]), TEXTS, max_size=5),
)
_FORM_NAMES = st.sampled_from(
    ["id", "phone", "status", "ts", "err", "cnt", "cost", "mes", "to", "waitcall", "md5", "sha1"]
)
_FORM_VALUES = (
    TEXTS | st.integers().map(str) | st.sampled_from(["", "79990000001", "+79990000001", "1", "-1", "9" * 40, "1e9"])
)
FORMS = st.dictionaries(_FORM_NAMES | st.text(max_size=4), _FORM_VALUES, max_size=8)
_ANSWER_NAMES = st.sampled_from(
    ["id", "cnt", "cost", "balance", "phones", "phone", "status", "error", "error_code", "err", "credit", "currency", "sms_cnt",
     "last_timestamp"]
)  # fmt: skip
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _FORM_VALUES | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ANSWER_NAMES, inner, max_size=5),
    max_leaves=12,
)
ANSWERS = st.one_of(
    st.dictionaries(_ANSWER_NAMES, _JSON, max_size=6).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(_ANSWER_NAMES, _JSON, max_size=6).map(lambda value: json.dumps({"id": 5001, **value}).encode()),
    _JSON.map(lambda value: json.dumps(value).encode()),
    st.builds(_changed, st.sampled_from([
        b'{"id":5001,"cnt":1,"cost":"1.4","balance":"100.5"}', b"ERROR = 7 (bad psw s3cret-canary), ID - 5001",
        b"OK - 1 SMS, ID - 5001", b'[{"status":1,"id":"5001","phone":"79990000001"}]', b'{"error":"x","error_code":2}',
    ]), _CHANGES),
    st.binary(max_size=200),
)  # fmt: skip
_VERBS = st.sampled_from(
    ["EHLO x", "HELO x", "LHLO x", "MAIL FROM:<a@b.c>", "MAIL FROM:<>", "MAIL FROM:<a@b.c> SIZE=9 RET=FULL ENVID=x BODY=8BITMIME",
     "RCPT TO:<79991234567@sms.local>", "RCPT TO:<79991234567@sms.local> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a", "DATA", ".",
     "RSET", "NOOP", "QUIT", "AUTH PLAIN", "AUTH PLAIN AGEAYg==", "AUTH LOGIN", "AUTH CRAM-MD5", "=", "*", "AGEAYg==", "STARTTLS",
     "VRFY x", "HELP", "EXPN x", "BDAT 3", "Subject: x", "", "GET / HTTP/1.1", "PROXY TCP4 1.2.3.4 5.6.7.8 9 10"]
)  # fmt: skip
_ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", " \r\n", "\0\r\n"])
BEGUN = ["EHLO x\r\n", "MAIL FROM:<a@b.c>\r\n", "RCPT TO:<79991234567@sms.local>\r\n", "DATA\r\n"]
DIALOGS = st.tuples(
    st.integers(0, 4),
    st.lists(
        st.one_of(
            st.tuples(_VERBS, _ENDS).map(lambda line: "".join(line).encode()),
            st.tuples(_VERBS, ADDRESSES | TEXTS, _ENDS).map(lambda line: "".join(line).encode("utf-8", "replace")),
            st.sampled_from([b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r", b"\n", b"\0", b"\xff\xfe", b"a" * 3000]),
            st.binary(max_size=30),
        ),
        max_size=25,
    ).map(b"".join),
    st.sampled_from(["off", "optional", "required"]),
    st.sampled_from(["smtp", "smtp", "lmtp"]),
)  # fmt: skip
PAGE = f"/callback/main/{SECRET}"
_HTTP = st.sampled_from(
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2\r\n", PAGE.encode(), b"/livez",
     b"/readyz", b"/", b"?id=1&phone=79990000001&status=1", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length: -1\r\n",
     b"Transfer-Encoding: chunked\r\n", b"Content-Type: application/x-www-form-urlencoded; charset=", b"utf-7\r\n", b"nonsense\r\n",
     b"Content-Type: multipart/form-data; boundary=b\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n",
     b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"id=1&status=",
     b"--b\r\n", b"%ff", b"%00", b"../", b"\xff", b"\0", b"a" * 9000]
)  # fmt: skip
REQUESTS = st.tuples(st.sampled_from([b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"POST " + PAGE.encode() + b" HTTP/1.1\r\nHost: x\r\n"]),
                     st.lists(_HTTP | st.binary(max_size=8), max_size=14).map(b"".join)).map(b"".join)  # fmt: skip

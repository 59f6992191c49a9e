"""Mails made to be misread, and what holds of every mail once it is read."""

from __future__ import annotations

from hypothesis import strategies as st

from mailbridge.model.mail import Mail

#: the dangerous words of mail
MAIL_PIECES = st.sampled_from(
    [
        b"Subject: ", b"From: ", b"Content-Type: ", b"multipart/mixed; boundary=", b"multipart/alternative; boundary=b",
        b"b\r\n", b"--b\r\n", b"--b--\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"text/html", b"text/plain; charset=",
        b"utf-8", b"utf-7", b"utf-16", b"koi8-r", b"hz", b"zlib", b"message/rfc822\r\n\r\n", b"=?utf-8?B?", b"=?koi8-r?Q?",
        b"?=", b"0J/R", b"=0D=0A", b"=1B", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"; format=flowed",
        b"Content-Disposition: attachment; filename", b"*0*=utf-8''%00%0d", b'="', b"\x1b[31m", b"\0", b"\xe2\x80\xae",
        b"\xff\xfe", b"+2ADYAA-", b"<p>", b"<div hidden>", b"&#55296;", b"&#0;", b"> ", b"-- \r\n", b"text/calendar\r\n\r\n",
        b"BEGIN:VEVENT\r\nSUMMARY:\\n\x07", b"\xd0", b"\xcf\xf0", b"-----Original Message-----\r\n", b"On x wrote:\r\n",
    ]
)  # fmt: skip


def assert_readable(mail: Mail) -> None:
    """Assert what the bridge promises of every string of a mail."""
    lines = [mail.subject, mail.from_name, mail.from_address, mail.to, mail.message_id, mail.auto_submitted]
    lines += [text for header in mail.headers for text in header]
    lines += [text for attachment in mail.attachments for text in (attachment.name, attachment.content_type)]
    for text in [*lines, *mail.notes, *mail.body.split("\n")]:
        assert all(c >= " " and not 0x7F <= ord(c) < 0xA0 and not 0xD800 <= ord(c) < 0xE000 for c in text), repr(text)
    assert all(bidi not in mail.subject + mail.body for bidi in "\u202a\u202e\u2066\u200b\ufeff\u00ad")

"""The official Python library's calls, written from smsc-api.md: what other programs of our users send.

``fmt=1``, windows-1251 unless told, credentials in the query of a GET; POST from 2000 characters on or with files; the
hosts one after the other where an attempt brings nothing; ``id=0`` where no id is wanted; fields read by splitting at
commas, at most 9 or 12 of them because a text may hold commas. Sources: smsc-api.md 1.1, 1.3, 2.2, 2.4, 4.3, 6.1.
"""

# ruff: noqa: A002, S107 - names and defaults of the original

from __future__ import annotations

import uuid
from urllib.error import URLError
from urllib.parse import parse_qsl, quote
from urllib.request import Request, urlopen

_MAX_URL = 2000
#: the function argument ``format`` and the parameter it becomes
FORMATS = [
    "",
    "flash=1",
    "push=1",
    "hlr=1",
    "bin=1",
    "bin=2",
    "ping=1",
    "mms=1",
    "mail=1",
    "call=1",
    "viber=1",
    "soc=1",
]


class SMSC:
    """The library's object; blocking, as the original."""

    def __init__(self, hosts: list[str], login: str = "demo", password: str = "demo", charset: str = "utf-8"):
        self.hosts, self.login, self.password, self.charset = hosts, login, password, charset
        #: (method, url) of each attempt
        self.attempts: list[tuple[str, str]] = []

    def send_sms(self, phones, message, translit=0, time="", id=0, format=0, sender=False, query="", files=()):
        """Return [id, cnt, cost, balance] or [id, -code]."""
        arg = (
            f"cost=3&phones={self._quoted(phones)}&mes={self._quoted(message)}&translit={translit}&id={id}"
            + (f"&{FORMATS[format]}" if format else "")
            + ("" if sender is False else f"&sender={self._quoted(sender)}")
            + (f"&time={self._quoted(time)}" if time else "")
            + (f"&{query}" if query else "")
        )
        return self._cmd("send", arg, files).split(",")

    def get_sms_cost(self, phones, message, translit=0, format=0, sender=False, query=""):
        """Return [cost, cnt] or [0, -code]."""
        arg = (
            f"cost=1&phones={self._quoted(phones)}&mes={self._quoted(message)}&translit={translit}"
            + (f"&{FORMATS[format]}" if format else "")
            + ("" if sender is False else f"&sender={self._quoted(sender)}")
            + (f"&{query}" if query else "")
        )
        return self._cmd("send", arg).split(",")

    def get_status(self, id, phone, all=0):
        """Return the fields of one message, or a list of them for several."""
        answer = self._cmd("status", f"phone={self._quoted(phone)}&id={self._quoted(str(id))}&all={int(all)}")
        if "," in str(id):
            return [self._split(line, all) for line in answer.split("\n")]
        return self._split(answer, all)

    @staticmethod
    def _split(line, all):
        fields = line.split(",")
        limit = {1: 9, 2: 12}.get(int(all))
        if limit and len(fields) > limit and (len(fields) < limit + 6 or fields[14 if limit == 9 else 17] != "HLR"):
            fields = line.split(",", limit - 1)
        return fields

    def get_balance(self):
        """Return the balance, or False."""
        fields = self._cmd("balance").split(",")
        return fields[0] if len(fields) < 2 else False

    def _cmd(self, method, arg="", files=()):
        base = f"login={self._quoted(self.login)}&psw={self._quoted(self.password)}&fmt=1&charset={self.charset}"
        for host in self.hosts:
            answer = self._attempt(f"{host}/sys/{method}.php", f"{base}&{arg}", files)
            if answer:
                return answer
        return ","

    def _attempt(self, url, arg, files):
        if files or len(url) + len(arg) > _MAX_URL:
            body, kind = self._multipart(arg, files) if files else (arg.encode(), "application/x-www-form-urlencoded")
            request = Request(url, data=body, headers={"Content-Type": kind})
        else:
            request = Request(f"{url}?{arg}")
        self.attempts.append((request.get_method(), url))
        try:
            with urlopen(request, timeout=5) as response:
                return response.read().decode(self.charset)
        except (URLError, OSError):
            return ""

    def _multipart(self, arg, files):
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode(self.charset)
            for name, value in parse_qsl(arg, keep_blank_values=True, encoding=self.charset)
        ]
        for number, (name, content) in enumerate(files):
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file{number}"; filename="{name}"\r\n'
            parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
        return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"

    def _quoted(self, text):
        return quote(text, safe="", encoding=self.charset)

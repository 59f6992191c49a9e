"""Writing a text shorter than it was meant: the last resort before a cut, asked for by ``fit: cheapest``.

Used by ``compose``; pure. Words of alerts become the short forms people use for them; no fact is left out but the
seconds of a time of day and the scheme of an address.
"""

from __future__ import annotations

import re

from mailbridge.intake.fold import transliterate

#: word in lower case -> its short form; a capital first letter, or all of them, is kept
SHORT_FORMS = {
    "critical": "crit", "warning": "warn", "unknown": "unkn", "problem": "prob", "information": "info",
    "connection": "conn", "connections": "conns", "connected": "conn'd", "disconnected": "disc'd",
    "temperature": "temp", "threshold": "thresh", "utilization": "util", "utilisation": "util", "memory": "mem",
    "message": "msg", "messages": "msgs", "number": "no", "address": "addr", "available": "avail",
    "unavailable": "unavail", "interface": "if", "configuration": "conf", "database": "db", "server": "srv",
    "service": "svc", "services": "svcs", "response": "resp", "request": "req", "requests": "reqs",
    "received": "rcvd", "packet": "pkt", "packets": "pkts", "seconds": "s", "second": "s", "minutes": "min",
    "minute": "min", "hours": "h", "hour": "h", "days": "d", "percent": "%", "average": "avg", "maximum": "max",
    "minimum": "min", "notification": "notif", "environment": "env", "system": "sys", "network": "net",
    "process": "proc", "processes": "procs", "monitoring": "mon", "application": "app", "authentication": "auth",
    "password": "pwd", "directory": "dir", "between": "btw", "without": "w/o", "volume": "vol", "battery": "bat",
    "because": "bc", "timeout": "t/o", "failed": "fail", "failure": "fail", "degraded": "degr",
    "проблема": "пробл", "температура": "темп", "сервер": "срв", "предупреждение": "пред",
    "минут": "мин", "минуты": "мин", "секунд": "сек", "часов": "ч", "процессора": "проц", "процессор": "проц",
    "загрузка": "загр", "соединение": "соед", "подключение": "подкл", "сообщение": "сообщ", "количество": "кол-во",
    "свободно": "своб", "оборудование": "обор", "резервное": "рез", "копирование": "коп", "состояние": "сост",
    "высокая": "выс", "недоступен": "недост", "недоступна": "недост", "информационная": "инф", "регламентное": "регл",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{4,}")
_SECONDS = re.compile(r"(?<![\d:])(\d{1,2}:\d\d):\d\d(?:[.,]\d+)?(?![\d:])")
_SCHEME = re.compile(r"\bhttps?://(?:www\.)?", re.IGNORECASE)
_RULED = re.compile(r"[*=_#~-]{3,}|\*\*")
_BLANK_BEFORE = re.compile(r" +(?=%)")


def abbreviate(text: str) -> str:
    """Write *text* in the GSM alphabet with short forms for the words of alerts.

    Idempotent in what matters: no longer than the text transliterated.
    """
    shorter = _SECONDS.sub(r"\1", _SCHEME.sub("", _RULED.sub("", text)))
    shorter = _BLANK_BEFORE.sub("", _WORD.sub(_short_form, shorter))
    lines = (" ".join(line.split()) for line in transliterate(shorter).split("\n"))
    return "\n".join(line for line in lines if line)


def _short_form(match: re.Match[str]) -> str:
    word = match[0]
    short = SHORT_FORMS.get(word.lower())
    if short is None:
        return word
    if word.isupper():
        return short.upper()
    return short.capitalize() if word[0].isupper() else short

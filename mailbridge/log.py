"""Logs: one JSON object a line on stdout (``ts level event`` and fields), or coloured lines for a person.

Events, not sentences. The events of a message's life all carry ``id`` (docs/reference/log.md).
Phones are masked here, in one place, unless ``log.phones: full``; texts and secrets are never handed to a logger,
and of an exception only its kind and place are written: a database's words repeat what was to be stored.
A log that cannot be written never stops the service.
"""

from __future__ import annotations

import atexit
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import MutableMapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol, TextIO

import structlog

from mailbridge.lines import Lines
from mailbridge.model.phone import mask_phone

#: fields that are a phone, or an address or a gateway's words with a phone in them
_PHONE_FIELDS = frozenset({"phone", "recipient", "sender", "to", "text", "diagnostic", "reason", "error"})
_LONG_NUMBER = re.compile(r"\d(?:[\d.\-() ]{5,}\d)")
_MAX_FIELD_CHARS = 2000
_OWN_FOLDER = Path(__file__).parent

#: what aiohttp raises, and logs as an error, where a client's octets are no HTTP: any scanner's are not
_STRANGERS = "aiohttp.http_exceptions"

#: ASCII only: no line separator, escape sequence or bidi mark from outside reaches a terminal or splits a line
_ENCODER = json.JSONEncoder(default=str, ensure_ascii=True)
_quote = json.encoder.encode_basestring_ascii

EventDict = MutableMapping[str, Any]


class LineTaker(Protocol):
    """Takes finished lines, without their end; structlog calls it by the level, and all levels are one to it."""

    def msg(self, line: str) -> None:
        """Take one line."""
        ...


def configure(
    *, fmt: str = "json", level: str = "info", phones: str = "masked", stream: TextIO | None = None,
    lines: LineTaker | None = None,
) -> None:  # fmt: skip
    """Send structlog's events and the libraries' own warnings to *stream* (stdout by default), or to *lines*."""
    out = stream or sys.stdout
    lines = lines or _lines_to(out)
    threshold = getattr(logging, level.upper())
    is_masked = phones == "masked"
    steps: list[structlog.typing.Processor]
    if fmt == "json":
        steps = [_exception, partial(_to_json, is_masked=is_masked)]
    else:
        console = structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=12)
        steps = [_exception, partial(_to_fields, is_masked=is_masked), console]
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _capture_libraries(threshold)


def _exception(_logger: object, _level: str, event: EventDict) -> EventDict:
    """Name the exception being handled and where it came from; its text may hold an SMS or a secret."""
    error = sys.exc_info()[1] if event.pop("exc_info", False) else None
    if error is not None:
        event["exception"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if _OWN_FOLDER in Path(frame.filename).parents] or frames
        if ours:
            event["at"] = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return event


def pass_on(line: str) -> None:
    """Write a line that another process of ours has made."""
    structlog.get_config()["logger_factory"]().msg(line)


def flush() -> None:
    """Write the lines that wait, before an end that runs no exit functions."""
    structlog.get_config()["logger_factory"]().write()


def _timestamp(at_s: float) -> str:
    """Return *at_s* as RFC 3339 with milliseconds; several times cheaper than a datetime's way."""
    second = int(at_s)
    return f"{_second_text(second)}.{int((at_s - second) * 1000):03}Z"


@lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _to_json(_logger: object, level: str, event: EventDict, *, is_masked: bool) -> str:
    """Return *event* as its line. In one go: each mail writes two and each message three more."""
    name = event.pop("event", "")
    line = f'{{"ts": "{_timestamp(time.time())}", "level": "{level}", "event": {_quote(str(name))}'
    for key, value in event.items():
        if isinstance(value, str):
            # a text that needs no care, as nearly all do, takes no call but the quoting
            is_plain = len(value) <= _MAX_FIELD_CHARS and not (is_masked and key in _PHONE_FIELDS)
            line += f', "{_key(key)}": {_quote(value if is_plain else _readable(key, value, is_masked=is_masked))}'
        elif value is None:
            line += f', "{_key(key)}": null'
        else:
            line += f', "{_key(key)}": {value if type(value) is int else _ENCODER.encode(value)}'
    return line + "}"


@lru_cache(maxsize=512)
def _key(name: str) -> str:
    """Return *name* as it stands between the quotes of a JSON string."""
    return _quote(name)[1:-1]


def _to_fields(_logger: object, level: str, event: EventDict, *, is_masked: bool) -> EventDict:
    """Return *event* for the console's renderer."""
    head = {"ts": _timestamp(time.time()), "level": level, "event": event.pop("event", "")}
    shown = {k: _readable(k, v, is_masked=is_masked) if isinstance(v, str) else v for k, v in event.items()}
    return head | shown


def _readable(key: str, text: str, *, is_masked: bool) -> str:
    """Return *text* as it may be read: phones masked, and of bounded length."""
    if is_masked and key in _PHONE_FIELDS:
        text = mask_phone(text) if key == "phone" else _LONG_NUMBER.sub(_mask, text)
    return text if len(text) <= _MAX_FIELD_CHARS else text[:_MAX_FIELD_CHARS] + "…"


def _mask(match: re.Match[str]) -> str:
    return mask_phone(match[0])


@lru_cache(maxsize=1)
def _lines_to(out: TextIO) -> Lines:
    """Return what writes to *out*: the same after a reload, since it may hold lines that wait."""
    lines = Lines(out, lambda lost: structlog.get_logger().warning("log lines lost", lines=lost))
    # the loop may end before its last lines are written
    atexit.register(lines.write)
    return lines


class _ToStructlog(logging.Handler):
    """Libraries log through the standard library: their warnings become events with the text cut and escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        kind = record.exc_info[0] if record.exc_info else None
        if kind is not None:
            fields["exception"] = kind.__name__
        log = structlog.get_logger()
        if kind is not None and kind.__module__ == _STRANGERS:
            log.info("library", **fields)
            return
        (log.error if record.levelno >= logging.ERROR else log.warning)("library", **fields)


def _capture_libraries(threshold: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(logging.WARNING, threshold))
    # aiosmtpd writes passwords at INFO and whole mails at DEBUG; only its warnings may pass
    logging.getLogger("mail.log").setLevel(logging.WARNING)

"""Logs: one JSON object a line on stdout (``ts level event`` and fields), or coloured lines for a person.

Events, not sentences. The events of a message's life all carry ``id`` (docs/reference/log.md).
Phones are masked here, in one place, unless ``log.phones: full``; texts and secrets are never handed to a logger,
and of an exception only its kind and place are written: a database's words repeat what was to be stored.
A log that cannot be written never stops the service.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import MutableMapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

import structlog

from mailbridge.model.phone import mask_phone

#: fields that are a phone, or an address or a gateway's words with a phone in them
_PHONE_FIELDS = ("phone", "recipient", "sender", "to", "text", "diagnostic", "reason", "error")
_LONG_NUMBER = re.compile(r"\d(?:[\d.\-() ]{5,}\d)")
_MAX_FIELD_CHARS = 2000
_OWN_FOLDER = Path(__file__).parent

#: ASCII only: no line separator, escape sequence or bidi mark from outside reaches a terminal or splits a line
_ENCODER = json.JSONEncoder(default=str, ensure_ascii=True)

EventDict = MutableMapping[str, Any]


def configure(*, fmt: str = "json", level: str = "info", phones: str = "masked", stream: TextIO | None = None) -> None:
    """Send structlog's events and the libraries' own warnings to *stream* (stdout by default)."""
    out = stream or sys.stdout
    lines = _Lines(out)
    threshold = getattr(logging, level.upper())
    steps: list[structlog.typing.Processor] = [_head, _exception]
    if phones == "masked":
        steps.append(_mask)
    steps.append(_bounded)
    steps.append(_to_json if fmt == "json" else structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=12))
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _capture_libraries(threshold)


def _head(_logger: object, level: str, event: EventDict) -> EventDict:
    return {"ts": _timestamp(time.time()), "level": level, "event": event.pop("event", ""), **event}


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


def _timestamp(at_s: float) -> str:
    """Return *at_s* as RFC 3339 with milliseconds; several times cheaper than a datetime's way."""
    second = int(at_s)
    return f"{_second_text(second)}.{int((at_s - second) * 1000):03}Z"


@lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _mask(_logger: object, _level: str, event: EventDict) -> EventDict:
    for field in _PHONE_FIELDS:
        value = event.get(field)
        if isinstance(value, str):
            event[field] = _LONG_NUMBER.sub(lambda match: mask_phone(match[0]), value)
    return event


def _bounded(_logger: object, _level: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _MAX_FIELD_CHARS:
            event[key] = value[:_MAX_FIELD_CHARS] + "…"
    return event


def _to_json(_logger: object, _level: str, event: EventDict) -> str:
    return _ENCODER.encode(event)


class _Lines:
    """Writes one event a line; a full disk or a closed pipe is not the service's trouble.

    Within a loop, the lines of one turn leave together before it waits again: a write for each would cost the hot
    path more than all the rest of logging.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        #: the loop that has been asked to flush
        self._asked: asyncio.AbstractEventLoop | None = None

    def msg(self, line: str) -> None:
        try:
            self._out.write(line + "\n")
        except (OSError, ValueError):
            return  # nowhere left to say it
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._flush()
            return
        if loop is not self._asked:
            self._asked = loop
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._asked = None
        with suppress(OSError, ValueError):
            self._out.flush()

    debug = info = warning = error = critical = msg


class _ToStructlog(logging.Handler):
    """Libraries log through the standard library: their warnings become events with the text cut and escaped."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
        log = structlog.get_logger()
        (log.error if record.levelno >= logging.ERROR else log.warning)("library", **fields)


def _capture_libraries(threshold: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(logging.WARNING, threshold))
    # aiosmtpd writes passwords at INFO and whole mails at DEBUG; only its warnings may pass
    logging.getLogger("mail.log").setLevel(logging.WARNING)

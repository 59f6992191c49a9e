"""Logs: one JSON object a line on stdout (``ts level event`` and fields), or coloured lines for a person.

Events, not sentences. The events of a message's life all carry ``id`` (contract section 8).
Phones are masked here, in one place, unless ``log.phones: full``; texts and secrets are never handed to a logger.
A log that cannot be written never stops the service.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from mailbridge.model.phone import mask_phone

#: fields that are a phone, or an address or a gateway's words with a phone in them
_PHONE_FIELDS = ("phone", "recipient", "sender", "to", "text", "diagnostic", "reason", "error")
_LONG_NUMBER = re.compile(r"\d(?:[\d.\-() ]{5,}\d)")
_MAX_FIELD_CHARS = 2000

EventDict = MutableMapping[str, Any]


def configure(*, fmt: str = "json", level: str = "info", phones: str = "masked", stream: TextIO | None = None) -> None:
    """Send structlog's events and the libraries' own warnings to *stream* (stdout by default)."""
    out = stream or sys.stdout
    threshold = getattr(logging, level.upper())
    steps: list[structlog.typing.Processor] = [structlog.contextvars.merge_contextvars, _head]
    if phones == "masked":
        steps.append(_mask)
    steps.append(_bounded)
    steps.append(_to_json if fmt == "json" else structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=12))
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _Lines(out),
        cache_logger_on_first_use=False,
    )
    _capture_libraries(threshold)


def _head(_logger: object, level: str, event: EventDict) -> EventDict:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"ts": now, "level": level, "event": event.pop("event", ""), **event}


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
    # ASCII only: no line separator, escape sequence or bidi mark from outside reaches a terminal or splits a line
    return json.dumps(event, default=str, ensure_ascii=True)


class _Lines:
    """Writes one event a line; a full disk or a closed pipe is not the service's trouble."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def msg(self, line: str) -> None:
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except (OSError, ValueError):
            pass  # nowhere left to say it

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
    # aiosmtpd writes passwords at INFO and whole mails at DEBUG (reliability: A20); only its warnings may pass
    logging.getLogger("mail.log").setLevel(logging.WARNING)

"""What a log line may say of an exception."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from mailbridge import log as logging_setup
from mailbridge.model.phone import mask_phone


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Leave the process's logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def said(fmt: str) -> str:
    """Return what is logged of an exception whose text holds an SMS, as a database's does."""
    out = io.StringIO()
    logging_setup.configure(fmt=fmt, stream=out)
    try:
        mask_phone(None)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001  any will do
        try:
            raise RuntimeError("[parameters: ('the code is 4711',)]") from error
        except RuntimeError:
            structlog.get_logger().exception("duty broke", duty="claim")
    return out.getvalue()


def test_an_exception_is_named_with_its_place():
    """An administrator is told what kind of thing broke, and where."""
    line = json.loads(said("json"))
    assert (line["event"], line["exception"]) == ("duty broke", "RuntimeError")
    assert line["at"].startswith("test_log.py:")
    assert "exc_info" not in line


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_an_exceptions_words_stay_inside(fmt: str):
    """No traceback and no text of an exception, nor of the one behind it: they repeat statements and what was to be stored."""
    text = said(fmt)
    assert "RuntimeError" in text
    for word in ("4711", "parameters", "Traceback", "NoneType"):
        assert word not in text

"""What a log line may say of an exception, and what becomes of lines that cannot be written."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp.http_exceptions import BadStatusLine

from mailbridge import log as logging_setup
from mailbridge.model.phone import mask_phone
from tests.support.programs import need_root, until


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


def test_a_client_that_speaks_no_http_is_no_error_of_ours() -> None:
    """A port scanner on the web port is told of, but wakes nobody; what breaks in a page is an error."""
    out = io.StringIO()
    logging_setup.configure(stream=out)
    for error in (BadStatusLine("nonsense"), ValueError("ours")):
        try:
            raise error
        except (BadStatusLine, ValueError):
            logging.getLogger("aiohttp.server").exception("Error handling request")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["exception"]) for line in lines] == [
        ("info", "BadStatusLine"),
        ("error", "ValueError"),
    ]
    assert "nonsense" not in out.getvalue()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the two ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read_lines(fd: int, count: int) -> list[dict[str, object]]:
    """Return the next *count* events that come out of a pipe."""
    data = b""
    while data.count(b"\n") < count or not data.endswith(b"\n"):
        data += os.read(fd, 65536)
    return [json.loads(line) for line in data.splitlines()]


async def test_a_pipe_nobody_reads_stops_nobody(pipe: tuple[int, int]) -> None:
    """Lines wait, the loop goes on; once somebody reads, all of them come, whole and in order."""
    reading, writing = pipe
    with os.fdopen(os.dup(writing), "w") as stream:
        logging_setup.configure(stream=stream)
        async with asyncio.timeout(5):
            for number in range(1000):
                structlog.get_logger().info("received", id=number, text="x" * 300)
                await asyncio.sleep(0)
        lines = await asyncio.to_thread(read_lines, reading, 1000)
        assert [line["id"] for line in lines] == list(range(1000))


async def test_what_a_pipe_never_takes_is_counted(pipe: tuple[int, int]) -> None:
    """Memory stays bounded: later lines are dropped, and how many is said when the log can be written again."""
    reading, writing = pipe
    with os.fdopen(os.dup(writing), "w") as stream:
        logging_setup.configure(stream=stream)
        for number in range(5000):
            structlog.get_logger().info("received", id=number, text="x" * 300)
            await asyncio.sleep(0)
        lines: list[dict[str, object]] = []
        async with asyncio.timeout(10):
            while not lines or lines[-1]["event"] != "log lines lost":
                lines += await asyncio.to_thread(read_lines, reading, 1)
        kept = [line["id"] for line in lines[:-1]]
        assert kept == list(range(len(kept)))
        assert lines[-1]["lines"] == 5000 - len(kept)
        assert 2000 < len(kept) < 4000


@pytest.mark.slow
async def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path) -> None:
    """A file that cannot grow costs lines, not the service; later ones are whole, and the gap has a number."""
    need_root("a disk of its own")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        file = tmp_path / "log"
        with file.open("w") as stream:
            logging_setup.configure(stream=stream)
            for number in range(500):
                structlog.get_logger().info("received", id=number, text="x" * 300)
                logging_setup.flush()
            os.truncate(file, 0)
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
            structlog.get_logger().info("received", id=500)
            await until(lambda: "log lines lost" in file.read_text())
        events = [json.loads(line) for line in file.read_text().splitlines() if line]
        assert [event["event"] for event in events] == ["received", "log lines lost"]
        assert 250 < events[1]["lines"] < 400
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)

"""How often the log is written to: a write can wait for the disk, and the loop with it."""

import asyncio
import io
import json
import logging

import pytest
import structlog

from mailbridge import log as logging_setup

LINES = 200


class Counting(io.StringIO):
    """A log that counts its writes."""

    def __init__(self):
        """Begin at zero."""
        super().__init__()
        self.writes = 0

    def write(self, text):
        """Count one."""
        self.writes += 1
        return super().write(text)


@pytest.fixture
def out():
    """Where the log goes, until the test is over."""
    out, root = Counting(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging_setup.configure(stream=out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def names(out):
    """Return the events written so far."""
    return [json.loads(line)["event"] for line in out.getvalue().splitlines()]


async def test_a_lone_line_is_written_in_the_next_turn_of_the_loop(out):
    """Nobody waits for the log of a quiet bridge."""
    structlog.get_logger().info("alone")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert names(out) == ["alone"]


async def test_lines_of_many_turns_share_a_write(out):
    """Two hundred lines in as many turns take a few writes, and all come out in their order."""
    log = structlog.get_logger()
    for number in range(LINES):
        log.info(str(number))
        await asyncio.sleep(0)
    writes = out.writes
    logging_setup.flush()
    assert writes <= LINES / 10
    assert names(out) == [str(number) for number in range(LINES)]


def test_lines_that_wait_when_the_loop_ends_are_not_lost(out):
    """The last words of a bridge that stops are in its log."""

    async def speak():
        for word in ("stopping", "stopped"):
            structlog.get_logger().info(word)
            await asyncio.sleep(0)

    asyncio.run(speak())
    logging_setup.flush()
    assert names(out) == ["stopping", "stopped"]

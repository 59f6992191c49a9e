"""The decisions all stores share, where no store leads to them easily."""

import errno
import os
import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from mailbridge.errors import StoreDamaged, StoreError, StoreFull
from mailbridge.queue.rules import MAX_GATEWAY_ID, IdSource, like_pattern
from mailbridge.queue.trouble import concerns_all, is_lost, is_passing, spoils_connection, translate
from tests.support.queue import NOW


def sqlite_error(code):
    """Return what SQLAlchemy raises for SQLite's *code*."""
    origin = sqlite3.OperationalError("secret path")
    origin.sqlite_errorcode = code
    return OperationalError("SELECT secret", {}, origin)


def test_gateway_ids_go_round_after_the_greatest():
    """The stored number goes on growing, so that it stays clear which came last."""
    ids = IdSource(MAX_GATEWAY_ID, NOW)
    assert not ids.used
    assert [ids(), ids()] == [MAX_GATEWAY_ID, 1]
    assert ids.used
    assert ids.next == MAX_GATEWAY_ID + 2


def test_a_clock_before_the_epoch_draws_from_one():
    """The floor never goes below the gateway's least id."""
    assert IdSource(1, NOW - timedelta(days=3650))() == 1


@pytest.mark.parametrize(("glob", "like"), [("*@x", "%@x"), ("a?b", "a_b"), ("50%_\\", "50\\%\\_\\\\")])
def test_a_glob_becomes_a_pattern_that_means_the_same(glob, like):
    """What LIKE would take for a wildcard is escaped."""
    assert like_pattern(glob) == like


@pytest.mark.parametrize(
    ("code", "kind", "reopen"),
    [
        (sqlite3.SQLITE_FULL, StoreFull, False),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull, True),
        (sqlite3.SQLITE_BUSY, StoreError, False),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreError, False),
        (sqlite3.SQLITE_LOCKED, StoreError, False),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError, True),
        (sqlite3.SQLITE_READONLY, StoreError, True),
        (sqlite3.SQLITE_CORRUPT, StoreDamaged, True),
        (sqlite3.SQLITE_NOTADB, StoreDamaged, True),
    ],
)
def test_each_code_of_sqlite_has_its_meaning(code, kind, reopen):
    """Everybody in a joint transaction hears of the disk's trouble, and nobody of its statement."""
    foreign = sqlite_error(code)
    error = translate(foreign)
    error.__cause__ = foreign
    assert type(error) is kind
    assert "secret" not in str(error)
    assert spoils_connection(foreign) is reopen
    assert concerns_all(error)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StoreFull, "no room left"),
        (errno.EDQUOT, StoreFull, "no room left"),
        (errno.EROFS, StoreError, "Read-only file system"),
        (errno.EISDIR, StoreError, "Is a directory"),
    ],
)
def test_what_the_system_says_of_a_file_is_said_to_the_operator(number, kind, words):
    """A full disk is one whether SQLite meets it or we do; the rest in the system's own words, without the path."""
    error = translate(OSError(number, os.strerror(number), "/secret/path"))
    assert type(error) is kind
    assert words in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_ERROR])
def test_what_one_call_brought_concerns_that_call(code):
    """A joint transaction is then taken apart."""
    error = translate(sqlite_error(code))
    error.__cause__ = sqlite_error(code)
    assert not concerns_all(error)
    assert not spoils_connection(sqlite_error(code))


class _Spoken(Exception):
    """What psycopg raises: PostgreSQL's code, or none where the connection broke."""

    __module__ = "psycopg.errors"

    def __init__(self, sqlstate):
        super().__init__("secret words")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "kind", "reopen", "lost", "passing", "for_all"),
    [
        (None, StoreError, True, True, False, True),
        ("57P01", StoreError, True, True, False, True),
        ("25006", StoreError, True, False, False, True),
        ("53100", StoreFull, False, False, False, True),
        ("53300", StoreError, False, False, False, True),
        ("55P03", StoreError, False, False, False, True),
        ("57014", StoreError, False, False, False, True),
        ("40P01", StoreError, False, False, True, False),
        ("40001", StoreError, False, False, True, False),
        ("23505", StoreError, False, False, True, False),
        ("23503", StoreError, False, False, False, False),
        ("22021", StoreError, False, False, False, False),
        ("42P01", StoreError, False, False, False, False),
        ("XX000", StoreError, True, False, False, True),
        ("XX001", StoreDamaged, True, False, False, True),
        ("99999", StoreError, False, False, False, True),
    ],
)
def test_each_state_of_postgresql_has_its_meaning(state, kind, reopen, lost, passing, for_all):
    """A code decides by itself or by its class; no code at all is a connection that broke."""
    foreign = OperationalError("SELECT secret", {}, _Spoken(state))
    error = translate(foreign)
    error.__cause__ = foreign
    assert type(error) is kind
    assert "secret" not in str(error)
    seen = (spoils_connection(foreign), is_lost(foreign), is_passing(error), concerns_all(error))
    assert seen == (reopen, lost, passing, for_all)

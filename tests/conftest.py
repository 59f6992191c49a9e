"""What tests of several rooms need."""

from itertools import count

import pytest

from tests.support.postgresql import SAFE, running_postgresql

_numbers = count(1)


@pytest.fixture(scope="session")
def postgresql():
    """Return a running PostgreSQL server, or skip."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'mailbridge[postgres]')")
    with running_postgresql(SAFE) as server:
        yield server


@pytest.fixture
def queue_url(postgresql):
    """Return the URL of an empty database."""
    return postgresql.create_queue(f"queue{next(_numbers)}")

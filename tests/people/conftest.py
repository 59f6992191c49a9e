"""A store of each kind."""

from tests.queue.conftest import store

__all__ = ["store"]

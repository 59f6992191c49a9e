"""What acceptance tests share."""

from __future__ import annotations

from tests.support.workers import workers

__all__ = ["workers"]

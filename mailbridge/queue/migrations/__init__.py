"""Alembic's environment and the revisions of the queue's tables."""

"""Bringing an older queue to the present tables with Alembic; imported only where that is needed."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

_FOLDER = Path(__file__).with_name("migrations")


def is_known(revision: str) -> bool:
    """Tell whether *revision* is one of ours; one that is not comes from a newer version."""
    return any(script.revision == revision for script in ScriptDirectory(str(_FOLDER)).walk_revisions())


def upgrade(conn: Connection) -> None:
    """Bring the tables up to date inside the caller's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")

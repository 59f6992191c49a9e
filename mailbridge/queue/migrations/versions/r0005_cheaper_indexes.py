"""The indexes of what is open, on conditions that cost SQLite less.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OPEN = " AND ".join(
    f"state <> '{state}'"
    for state in ("sent", "delivered", "undelivered", "expired", "failed", "cancelled", "held", "suppressed")
)


def upgrade() -> None:
    """Make two indexes anew; PostgreSQL, where other nodes would have to wait for it, has no use for that."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in ("messages_expiry", "messages_warnable"):
        op.drop_index(name, "messages")
    op.create_index("messages_expiry", "messages", ["expires_at", "id"], sqlite_where=sa.text(_OPEN))
    op.create_index(
        "messages_warnable", "messages", ["created_at", "id"], sqlite_where=sa.text(f"warnable = 1 AND {_OPEN}")
    )

"""What the desk and the API ask and keep.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_IS_RARE = sa.text(" AND ".join(f"state <> '{state}'" for state in ("queued", "sending", "sent", "delivered")))


def upgrade() -> None:
    """Add the table and the index."""
    op.create_table(
        "requests",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("mail_id", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("requests_until", "requests", ["until"])
    op.create_index("messages_rare", "messages", ["created_at", "id"], sqlite_where=_IS_RARE, postgresql_where=_IS_RARE)

"""What the desk and the API ask and keep.

Revision: 0008, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_IS_RARE = sa.text("state NOT IN ('queued', 'sending', 'sent', 'delivered')")


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

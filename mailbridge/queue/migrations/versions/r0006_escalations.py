"""Alerts that somebody has to answer, and SMS that come in.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add tables and one row; nothing that is there changes."""
    op.create_table(
        "escalations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("mail_id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    looked_at, unhandled = sa.text("due_at IS NOT NULL"), sa.text("result = ''")
    op.create_index(
        "escalations_due", "escalations", ["due_at", "id"], sqlite_where=looked_at, postgresql_where=looked_at
    )
    op.create_index("escalations_number", "escalations", ["number", "opened_at", "id"])
    op.create_index("escalations_mail", "escalations", ["mail_id"])
    op.create_index("escalations_newest", "escalations", ["opened_at", "id"])
    op.create_table(
        "escalated",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("escalation_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("escalated_of", "escalated", ["escalation_id", "step"])
    op.create_table(
        "inbound",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("gateway_id", sa.Text(), nullable=False),
        sa.Column("twin", sa.Text()),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("to_number", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger()),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n"),
    )
    op.create_index("inbound_once", "inbound", ["gateway", "key"], unique=True)
    op.create_index("inbound_phone", "inbound", ["gateway", "phone", "stored_at"])
    op.create_index("inbound_unhandled", "inbound", ["n"], sqlite_where=unhandled, postgresql_where=unhandled)
    op.create_index("inbound_stored", "inbound", ["stored_at"])
    op.create_table(
        "inbox_cursors",
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("gateway"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO sequences (name, next) VALUES ('escalation', 1) ON CONFLICT (name) DO NOTHING")

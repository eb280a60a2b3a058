"""How ends are proved, sessions that an operator holds, and another name for keyed requests."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("held_until", sa.BigInteger))
    op.add_column("sessions", sa.Column("hold_reason", sa.Text))
    op.add_column("attempts", sa.Column("absent_at", sa.BigInteger))
    op.add_column("attempts", sa.Column("absent_by", sa.String(32)))
    op.add_column("attempts", sa.Column("gone_by", sa.String(32)))
    op.add_column("attempts", sa.Column("due_at", sa.BigInteger))
    # A receipt is what an ended session has; these are requests with an Idempotency-Key.
    op.rename_table("receipts", "carried_out")
    op.drop_index("ix_receipts_created", "carried_out")
    op.create_index("ix_carried_out_created", "carried_out", ["created_at"])

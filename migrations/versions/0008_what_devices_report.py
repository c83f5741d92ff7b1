"""Devices report about themselves, and their pushes are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("device_state") as state:
        state.add_column(sa.Column("pushes", sa.BigInteger(), server_default="0", nullable=False))
        state.add_column(sa.Column("queue_length", sa.BigInteger(), nullable=True))
        state.add_column(sa.Column("queue_oldest_at", sa.DateTime(timezone=True), nullable=True))
        state.add_column(sa.Column("clock_skew_ms", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("device_state") as state:
        for column in ("clock_skew_ms", "queue_oldest_at", "queue_length", "pushes"):
            state.drop_column(column)

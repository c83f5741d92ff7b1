"""Devices record whether they may surrender their outbox, when they did, and when they were wiped."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("device") as device:
        device.add_column(sa.Column("surrender", sa.Boolean(), server_default=sa.false(), nullable=False))
        device.add_column(sa.Column("surrendered_at", sa.DateTime(timezone=True), nullable=True))
        device.add_column(sa.Column("wiped_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("device") as device:
        for column in ("wiped_at", "surrendered_at", "surrender"):
            device.drop_column(column)

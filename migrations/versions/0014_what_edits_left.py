"""Receipts list the fields that an edit left unchanged; devices have the last number that had its turn."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("receipt", sa.Column("unmoved", sa.Text()))
    only = sa.text("unmoved IS NOT NULL")
    op.create_index(
        "ix_receipt_unmoved",
        "receipt",
        ["organisation_id", "device_id", "number"],
        postgresql_where=only,
        sqlite_where=only,
    )
    op.add_column(
        "device_state", sa.Column("last_number", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute("UPDATE device_state SET last_number = next_number - 1 WHERE next_number IS NOT NULL")


def downgrade() -> None:
    op.drop_column("device_state", "last_number")
    op.drop_index("ix_receipt_unmoved", "receipt")
    op.drop_column("receipt", "unmoved")

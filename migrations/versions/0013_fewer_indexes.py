"""Drop the index of receipts by device: they are found by their operation."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_receipt_device", "receipt")


def downgrade() -> None:
    op.create_index("ix_receipt_device", "receipt", ["organisation_id", "device_id", "number"])

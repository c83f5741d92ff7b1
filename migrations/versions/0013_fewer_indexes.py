"""Two indexes less to write for each operation: edges are found by their record, which their key now begins
with, and receipts by their operation, nobody asks for those of a device."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _key("organisation_id", "record_id", "scope")
    op.drop_index("ix_edge_record", "edge")
    op.drop_index("ix_receipt_device", "receipt")


def downgrade() -> None:
    op.create_index("ix_receipt_device", "receipt", ["organisation_id", "device_id", "number"])
    op.create_index("ix_edge_record", "edge", ["organisation_id", "record_id"])
    _key("organisation_id", "scope", "record_id")


def _key(*columns: str) -> None:
    with op.batch_alter_table("edge") as table:
        table.drop_constraint("pk_edge", type_="primary")
        table.create_primary_key("pk_edge", list(columns))

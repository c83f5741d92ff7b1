"""Parked operations wait for a record too, and remember the schema in which they were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("parked_operation") as parked:
        parked.add_column(sa.Column("waits_for", sa.Uuid(), nullable=True))
        parked.add_column(sa.Column("schema", sa.Integer(), server_default="1", nullable=False))
        parked.create_index("ix_parked_operation_record", ["organisation_id", "waits_for"])


def downgrade() -> None:
    with op.batch_alter_table("parked_operation") as parked:
        parked.drop_index("ix_parked_operation_record")
        parked.drop_column("schema")
        parked.drop_column("waits_for")

"""Store the ids of records that will never be created: operations that name them do not wait."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "given_up_record",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "record_id", name=op.f("pk_given_up_record")),
    )
    protect("given_up_record")


def downgrade() -> None:
    op.drop_table("given_up_record")

"""Let a mutation that is sent again take effect once."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "organisation_id", "account_id", "key", "place", name=op.f("pk_idempotency_key")
        ),
    )
    op.create_index("ix_idempotency_key_used", "idempotency_key", ["organisation_id", "used_at"])
    protect("idempotency_key")


def downgrade() -> None:
    op.drop_table("idempotency_key")

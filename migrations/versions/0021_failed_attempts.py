"""Count wrong passwords for all servers."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect_across

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "failed_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failed_attempt")),
    )
    op.create_index("ix_failed_attempt_key", "failed_attempt", ["key", "at"])
    op.create_index("ix_failed_attempt_at", "failed_attempt", ["at"])
    protect_across("failed_attempt")


def downgrade() -> None:
    op.drop_table("failed_attempt")

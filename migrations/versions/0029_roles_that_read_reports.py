"""Bind roles of PostgreSQL to the organisation whose reports they read."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect_across

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "database_role",
        sa.Column("role", sa.String(63), nullable=False),
        sa.Column("seen_organisation_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_database_role")),
    )
    protect_across("database_role")


def downgrade() -> None:
    op.drop_table("database_role")

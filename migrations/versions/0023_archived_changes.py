"""Remember which entries of the log were archived."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "archived_changes",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("recorded_from", _TIME, nullable=False),
        sa.Column("recorded_until", _TIME, nullable=False),
        sa.Column("file", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=True),
        sa.Column("archived_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "first_seq", name=op.f("pk_archived_changes")),
    )
    protect("archived_changes")


def downgrade() -> None:
    op.drop_table("archived_changes")

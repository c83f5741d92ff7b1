"""Keep the keys that sign tokens and cursors in the database, where all servers find them."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect_across

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "server_key",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_by", sa.String(16), nullable=True),
        sa.Column("used_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_key")),
    )
    protect_across("server_key")


def downgrade() -> None:
    op.drop_table("server_key")

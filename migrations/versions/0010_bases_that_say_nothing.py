"""A parked operation remembers that its base was beyond the head when it arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("parked_operation") as parked:
        parked.add_column(sa.Column("base_unknown", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("parked_operation") as parked:
        parked.drop_column("base_unknown")

"""Store a device's numbers that are used up although earlier ones have not arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("device_state") as state:
        state.add_column(sa.Column("used_numbers", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("device_state") as state:
        state.drop_column("used_numbers")

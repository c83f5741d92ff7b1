"""Give organisations a time zone."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column(
        "organisation", sa.Column("time_zone", sa.String(60), server_default="UTC", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("organisation", "time_zone")

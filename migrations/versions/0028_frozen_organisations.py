"""Let an organisation be frozen while it moves to another database."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_column("head", sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("head", "frozen_at")

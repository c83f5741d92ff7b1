"""receipts by number

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-28 23:30:00+00:00

"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KEY = ["organisation_id", "device_id", "number"]


def upgrade() -> None:
    op.add_column("receipt", sa.Column("meaning", sa.String(64)))
    op.drop_index("ix_receipt_unmoved", "receipt")
    op.create_index("ix_receipt_device", "receipt", _KEY)


def downgrade() -> None:
    op.drop_index("ix_receipt_device", "receipt")
    some = sa.text("unmoved IS NOT NULL")
    op.create_index("ix_receipt_unmoved", "receipt", _KEY, postgresql_where=some, sqlite_where=some)
    op.drop_column("receipt", "meaning")

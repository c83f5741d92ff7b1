"""Add indexes that find the end of the log and the rows past the horizon."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_member_from", "member", ["organisation_id", "from_seq"])
    _create_partial("ix_member_to", "member", "to_seq", "to_seq IS NOT NULL")
    _create_partial("ix_edge_closed", "edge", "seq", "NOT open")


def downgrade() -> None:
    op.drop_index("ix_edge_closed", "edge")
    op.drop_index("ix_member_to", "member")
    op.drop_index("ix_member_from", "member")


def _create_partial(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, ["organisation_id", column], postgresql_where=where, sqlite_where=where)

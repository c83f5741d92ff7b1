"""Let an assignment know until when its visit counts, and find what is held now among that of years."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_OPEN = sa.text("status NOT IN ('CLOSED', 'CANCELED')")
_HELD = sa.text("to_seq IS NULL")
_END = """
UPDATE assignment SET until = COALESCE(appointment.ends_at, appointment.actual_end, appointment.created_at)
  FROM appointment
 WHERE appointment.organisation_id = assignment.organisation_id AND appointment.id = assignment.appointment_id
   AND appointment.status IN ('COMPLETED', 'PARTIALLY_COMPLETED', 'CANNOT_COMPLETE', 'CANCELED')
"""


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    not_over = "9999-12-31 00:00:00.000000" if is_sqlite else "9999-12-31 00:00:00+00"
    until = sa.Column("until", sa.DateTime(timezone=True), nullable=False, server_default=not_over)
    op.add_column("assignment", until)
    op.execute(_END)
    op.create_index("ix_assignment_until", "assignment", ["organisation_id", "technician_id", "until"])
    op.create_index(
        "ix_work_order_reported",
        "work_order",
        ["organisation_id", "reported_by_id"],
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_index(
        "ix_member_held",
        "member",
        ["organisation_id", "account_id", "scope"],
        postgresql_where=_HELD,
        sqlite_where=_HELD,
    )


def downgrade() -> None:
    op.drop_index("ix_member_held", "member")
    op.drop_index("ix_work_order_reported", "work_order")
    op.drop_index("ix_assignment_until", "assignment")
    op.drop_column("assignment", "until")

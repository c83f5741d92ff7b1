"""Let an assignment know until when its visit counts, and find what is held now among that of years."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_OVER = ("COMPLETED", "PARTIALLY_COMPLETED", "CANNOT_COMPLETE", "CANCELED")
_KEY = ("organisation_id", "id")

_assignment = sa.table(
    "assignment",
    *(sa.column(name, sa.Uuid()) for name in (*_KEY, "appointment_id")),
    sa.column("until", _TIME),
)
_visit = sa.table(
    "appointment",
    *(sa.column(name, sa.Uuid()) for name in _KEY),
    sa.column("status", sa.String()),
    *(sa.column(name, _TIME) for name in ("ends_at", "actual_end", "created_at")),
)


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    not_over = "9999-12-31 00:00:00.000000" if is_sqlite else "9999-12-31 00:00:00+00"
    online.add_column("assignment", sa.Column("until", _TIME, nullable=False, server_default=not_over))
    ended = sa.func.coalesce(_visit.c.ends_at, _visit.c.actual_end, _visit.c.created_at)
    online.update(
        sa.update(_assignment)
        .where(
            _visit.c.organisation_id == _assignment.c.organisation_id,
            _visit.c.id == _assignment.c.appointment_id,
            _visit.c.status.in_(_OVER),
        )
        .values(until=ended),
    )
    own = "organisation_id"
    online.create_index("ix_assignment_until", "assignment", [own, "technician_id", "until"])
    online.create_index(
        "ix_work_order_reported",
        "work_order",
        [own, "reported_by_id"],
        where="status NOT IN ('CLOSED', 'CANCELED')",
    )
    online.create_index("ix_member_held", "member", [own, "account_id", "scope"], where="to_seq IS NULL")
    online.create_index(
        "ix_member_ended", "member", [own, "account_id", "to_seq"], where="to_seq IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_member_ended", "member")
    op.drop_index("ix_member_held", "member")
    op.drop_index("ix_work_order_reported", "work_order")
    op.drop_index("ix_assignment_until", "assignment")
    op.drop_column("assignment", "until")

"""Index what long lists are ordered by, and the log by its types and times."""

from alembic import op

from tournee.migrations import online

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_ORDERS = (
    ("appointment", "created_at"),
    ("asset", "name"),
    ("customer", "name"),
    ("site", "name"),
    ("work_order", "created_at"),
    ("work_order", "due_at"),
)


def upgrade() -> None:
    for table, column in _ORDERS:
        online.create_index(f"ix_{table}_{column}", table, ["organisation_id", column])
    online.create_index("ix_change_entity", "change", ["organisation_id", "entity", "seq"])
    online.create_index("ix_change_recorded_at", "change", ["recorded_at"], using="brin")


def downgrade() -> None:
    op.drop_index("ix_change_recorded_at", "change")
    op.drop_index("ix_change_entity", "change")
    for table, column in reversed(_ORDERS):
        op.drop_index(f"ix_{table}_{column}", table)

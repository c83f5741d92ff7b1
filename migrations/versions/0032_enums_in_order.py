"""Index what lists are ordered by in the order of an enum's declaration."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_ORDERS: dict[tuple[str, str], str] = {
    ("appointment", "status"): (
        "NONE SCHEDULED DISPATCHED ACCEPTED EN_ROUTE ON_SITE IN_PROGRESS PAUSED COMPLETED PARTIALLY_COMPLETED"
        " CANNOT_COMPLETE CANCELED"
    ),
    ("work_order", "priority"): "LOW NORMAL HIGH URGENT",
    ("work_order", "status"): (
        "DRAFT NEW SCHEDULED IN_PROGRESS ON_HOLD COMPLETED CANNOT_COMPLETE CLOSED CANCELED"
    ),
    ("asset", "status"): "PLANNED INSTALLED ACTIVE OUT_OF_SERVICE RETIRED",
    ("asset", "criticality"): "LOW MEDIUM HIGH SAFETY",
    ("audit_finding", "grade"): "CONFORMITY OPPORTUNITY OBSERVATION MINOR MAJOR CRITICAL",
}


def upgrade() -> None:
    for (table, column), names in _ORDERS.items():
        places = " ".join(f"WHEN '{name}' THEN {at}" for at, name in enumerate(names.split()))
        expression = sa.text(f"(CASE {column} {places} END)")
        online.create_index(f"ix_{table}_{column}_rank", table, ["organisation_id", expression, "id"])


def downgrade() -> None:
    for table, column in _ORDERS:
        op.drop_index(f"ix_{table}_{column}_rank", table)

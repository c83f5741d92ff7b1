"""PostgreSQL repeats the border between organisations."""

from tournee.migrations import protect, unprotect

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    "absence",
    "account",
    "appointment",
    "appointment_event",
    "asset",
    "assignment",
    "audit",
    "audit_answer",
    "audit_finding",
    "audit_member",
    "change",
    "checklist_answer",
    "checklist_run",
    "checklist_template",
    "checklist_version",
    "conflict",
    "contact",
    "customer",
    "device",
    "device_state",
    "edge",
    "expectation",
    "head",
    "interaction",
    "member",
    "meter",
    "note",
    "parked_operation",
    "quality_standard",
    "reading",
    "receipt",
    "record",
    "refresh_token",
    "shift",
    "site",
    "skill",
    "standard_clause",
    "technician",
    "technician_profile",
    "technician_skill",
    "territory",
    "territory_membership",
    "time_entry",
    "work_order",
    "work_order_counter",
)


def upgrade() -> None:
    protect("organisation", "id")
    for table in TABLES:
        protect(table)


def downgrade() -> None:
    for table in TABLES:
        unprotect(table)
    unprotect("organisation")

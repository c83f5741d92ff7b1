"""Let a record know until when it counts, for devices of the office that carry only what is newer."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from tournee.migrations import online
from tournee.migrations.steps import step
from tournee.migrations.stored import change_table, pages, record_table, write_many

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_OVER = ("COMPLETED", "PARTIALLY_COMPLETED", "CANNOT_COMPLETE", "CANCELED")
_ENDED = ("CLOSED", "CANCELED")
_FACTS = (
    "Note",
    "TimeEntry",
    "AppointmentEvent",
    "Reading",
    "StockMovement",
    "StockCount",
    "ChecklistAnswer",
    "AuditAnswer",
    "Interaction",
)
# By entity: its table, the column that says whether it is over, the values that do, and when it ends at last.
_STATES: dict[str, tuple[str, str, tuple[Any, ...], str | None]] = {
    "Appointment": ("appointment", "status", _OVER, "ends_at"),
    "WorkOrder": ("work_order", "status", _ENDED, None),
    "ChecklistRun": ("checklist_run", "status", ("COMPLETED", "NOT_APPLICABLE"), None),
    "Shift": ("shift", "deleted", (False,), "ends_at"),
    "Absence": ("absence", "status", ("APPROVED", "REJECTED", "CANCELED"), "ends_at"),
    "Audit": ("audit", "status", _ENDED, None),
    "AuditFinding": ("audit_finding", "status", ("CLOSED",), None),
    "StockDiscrepancy": ("stock_discrepancy", "status", ("RESOLVED",), None),
    "Conflict": ("conflict", "status", ("RESOLVED",), None),
}

_record = sa.table(
    "record",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("until", _TIME),
)


def upgrade() -> None:
    is_sqlite = op.get_context().dialect.name == "sqlite"
    always = "9999-12-31 00:00:00.000000" if is_sqlite else "9999-12-31 00:00:00+00"
    online.add_column("record", sa.Column("until", _TIME, nullable=False, server_default=always))
    for entity in _FACTS:
        _count(_live(entity))
    for entity, (table, name, values, ends) in _STATES.items():
        own = sa.table(
            table,
            *(sa.column(key, sa.Uuid()) for key in ("organisation_id", "id")),
            sa.column(name, sa.Boolean() if isinstance(values[0], bool) else sa.String()),
            *([] if ends is None else [sa.column(ends, _TIME)]),
        )
        same = sa.and_(own.c.organisation_id == record_table.c.organisation_id, own.c.id == record_table.c.id)
        over = _live(entity).join(own, same).where(own.c[name].in_(values))
        _count(over if ends is None else over.add_columns(own.c[ends].label("ends")))
    _count(_assignments(always))
    columns = ["organisation_id", "entity", "until", "id"]
    online.create_index("ix_record_until", "record", columns)


def downgrade() -> None:
    op.drop_index("ix_record_until", "record")
    op.drop_column("record", "until")


def _live(entity: str) -> sa.Select[Any]:
    """Select the records of an entity that are not deleted, with the time of their last change."""
    last = sa.and_(
        change_table.c.organisation_id == record_table.c.organisation_id,
        change_table.c.seq == record_table.c.seq,
    )
    return (
        sa.select(record_table.c.organisation_id, record_table.c.id, change_table.c.recorded_at)
        .select_from(record_table)
        .join(change_table, last)
        .where(record_table.c.entity == entity, record_table.c.deleted.is_(False))
    )


def _assignments(always: str) -> sa.Select[Any]:
    """Select the assignments to visits that are over, and until when those count."""
    own = sa.table(
        "assignment", *(sa.column(key, sa.Uuid()) for key in ("organisation_id", "id", "appointment_id"))
    )
    visit = sa.and_(
        _record.c.organisation_id == own.c.organisation_id,
        _record.c.id == own.c.appointment_id,
        _record.c.until < sa.literal_column(f"'{always}'"),
    )
    return sa.select(own.c.organisation_id, own.c.id, _record.c.until.label("recorded_at")).join_from(
        own, _record, visit
    )


def _count(rows: sa.Select[Any]) -> None:
    found_by = [_record.c[name] == sa.bindparam(f"of_{name}") for name in ("organisation_id", "id")]
    change = sa.update(_record).where(*found_by).values(until=sa.bindparam("new_until"))
    for page in pages(rows, *list(rows.selected_columns)[:2]):
        for _, some in groupby(page, lambda row: row["organisation_id"]):
            written = [
                {
                    "of_organisation_id": row["organisation_id"],
                    "of_id": row["id"],
                    "new_until": max(row["recorded_at"], row.get("ends") or row["recorded_at"]),
                }
                for row in some
            ]
            write_many(change, written)
        step()

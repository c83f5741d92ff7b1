"""stock is a ledger."""

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = (
    "part",
    "stock_location",
    "stock_count",
    "stock_movement",
    "stock_discrepancy",
    "stock_level",
)


def upgrade() -> None:
    op.create_table(
        "part",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("number", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("serialised", sa.Boolean(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=True),
        sa.Column("discontinued", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=True),
        sa.Column("external_key", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_part")),
        sa.UniqueConstraint("organisation_id", "number", name=op.f("uq_part_organisation_id_number")),
    )
    op.create_table(
        "stock_location",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=True),
        sa.Column("technician_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "asset_id"],
            ["asset.organisation_id", "asset.id"],
            name="fk_stock_location_asset_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "technician_id"],
            ["technician.organisation_id", "technician.id"],
            name="fk_stock_location_technician_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_stock_location")),
        sa.UniqueConstraint(
            "organisation_id", "asset_id", name=op.f("uq_stock_location_organisation_id_asset_id")
        ),
    )
    op.create_index(
        "ix_stock_location_asset_id", "stock_location", ["organisation_id", "asset_id"], unique=False
    )
    op.create_index(
        "ix_stock_location_technician_id",
        "stock_location",
        ["organisation_id", "technician_id"],
        unique=False,
    )

    op.create_table(
        "stock_count",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.Column("location_id", sa.Uuid(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("expected", sa.BigInteger(), nullable=False),
        sa.Column("difference", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stated", sa.Boolean(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "location_id"],
            ["stock_location.organisation_id", "stock_location.id"],
            name="fk_stock_count_location_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "part_id"],
            ["part.organisation_id", "part.id"],
            name="fk_stock_count_part_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_stock_count")),
    )
    op.create_index(
        "ix_stock_count_location_id", "stock_count", ["organisation_id", "location_id"], unique=False
    )
    op.create_index("ix_stock_count_part_id", "stock_count", ["organisation_id", "part_id"], unique=False)
    op.create_index(
        "ix_stock_count_place", "stock_count", ["organisation_id", "location_id", "part_id"], unique=False
    )

    op.create_table(
        "stock_movement",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("from_location_id", sa.Uuid(), nullable=True),
        sa.Column("to_location_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("appointment_id", sa.Uuid(), nullable=True),
        sa.Column("work_order_id", sa.Uuid(), nullable=True),
        sa.Column("serial_number", sa.String(length=120), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column("count_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stated", sa.Boolean(), nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "appointment_id"],
            ["appointment.organisation_id", "appointment.id"],
            name="fk_stock_movement_appointment_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "count_id"],
            ["stock_count.organisation_id", "stock_count.id"],
            name="fk_stock_movement_count_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "from_location_id"],
            ["stock_location.organisation_id", "stock_location.id"],
            name="fk_stock_movement_from_location_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "part_id"],
            ["part.organisation_id", "part.id"],
            name="fk_stock_movement_part_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "reverses_id"],
            ["stock_movement.organisation_id", "stock_movement.id"],
            name="fk_stock_movement_reverses_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "to_location_id"],
            ["stock_location.organisation_id", "stock_location.id"],
            name="fk_stock_movement_to_location_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "work_order_id"],
            ["work_order.organisation_id", "work_order.id"],
            name="fk_stock_movement_work_order_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_stock_movement")),
        sa.UniqueConstraint(
            "organisation_id", "reverses_id", name=op.f("uq_stock_movement_organisation_id_reverses_id")
        ),
    )
    op.create_index(
        "ix_stock_movement_appointment_id",
        "stock_movement",
        ["organisation_id", "appointment_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_movement_count_id", "stock_movement", ["organisation_id", "count_id"], unique=False
    )
    op.create_index(
        "ix_stock_movement_from_location_id",
        "stock_movement",
        ["organisation_id", "from_location_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_movement_in",
        "stock_movement",
        ["organisation_id", "part_id", "to_location_id", "quantity"],
        unique=False,
    )
    op.create_index(
        "ix_stock_movement_out",
        "stock_movement",
        ["organisation_id", "part_id", "from_location_id", "quantity"],
        unique=False,
    )
    op.create_index(
        "ix_stock_movement_part_id", "stock_movement", ["organisation_id", "part_id"], unique=False
    )
    op.create_index(
        "ix_stock_movement_reverses_id", "stock_movement", ["organisation_id", "reverses_id"], unique=False
    )
    op.create_index(
        "ix_stock_movement_to_location_id",
        "stock_movement",
        ["organisation_id", "to_location_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_movement_work_order_id",
        "stock_movement",
        ["organisation_id", "work_order_id"],
        unique=False,
    )

    op.create_table(
        "stock_discrepancy",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.Column("location_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("level", sa.BigInteger(), nullable=False),
        sa.Column("movement_id", sa.Uuid(), nullable=False),
        sa.Column("settlement", sa.String(length=40), nullable=True),
        sa.Column("settled_by_count_id", sa.Uuid(), nullable=True),
        sa.Column("settled_by_movement_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("resolved_by_id", sa.Uuid(), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "location_id"],
            ["stock_location.organisation_id", "stock_location.id"],
            name="fk_stock_discrepancy_location_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "movement_id"],
            ["stock_movement.organisation_id", "stock_movement.id"],
            name="fk_stock_discrepancy_movement_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "part_id"],
            ["part.organisation_id", "part.id"],
            name="fk_stock_discrepancy_part_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "settled_by_count_id"],
            ["stock_count.organisation_id", "stock_count.id"],
            name="fk_stock_discrepancy_settled_by_count_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "settled_by_movement_id"],
            ["stock_movement.organisation_id", "stock_movement.id"],
            name="fk_stock_discrepancy_settled_by_movement_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_stock_discrepancy")),
    )
    op.create_index(
        "ix_stock_discrepancy_location_id",
        "stock_discrepancy",
        ["organisation_id", "location_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_discrepancy_movement_id",
        "stock_discrepancy",
        ["organisation_id", "movement_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_discrepancy_part_id", "stock_discrepancy", ["organisation_id", "part_id"], unique=False
    )
    op.create_index(
        "ix_stock_discrepancy_settled_by_count_id",
        "stock_discrepancy",
        ["organisation_id", "settled_by_count_id"],
        unique=False,
    )
    op.create_index(
        "ix_stock_discrepancy_settled_by_movement_id",
        "stock_discrepancy",
        ["organisation_id", "settled_by_movement_id"],
        unique=False,
    )

    op.create_table(
        "stock_level",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("part_id", sa.Uuid(), nullable=False),
        sa.Column("location_id", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("discrepancy_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "discrepancy_id"],
            ["stock_discrepancy.organisation_id", "stock_discrepancy.id"],
            name="fk_stock_level_discrepancy_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "location_id"],
            ["stock_location.organisation_id", "stock_location.id"],
            name="fk_stock_level_location_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "part_id"],
            ["part.organisation_id", "part.id"],
            name="fk_stock_level_part_id",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_stock_level")),
        sa.UniqueConstraint(
            "organisation_id",
            "part_id",
            "location_id",
            name=op.f("uq_stock_level_organisation_id_part_id_location_id"),
        ),
    )
    op.create_index(
        "ix_stock_level_discrepancy_id", "stock_level", ["organisation_id", "discrepancy_id"], unique=False
    )
    op.create_index(
        "ix_stock_level_location_id", "stock_level", ["organisation_id", "location_id"], unique=False
    )
    op.create_index("ix_stock_level_part_id", "stock_level", ["organisation_id", "part_id"], unique=False)
    for table in TABLES:
        protect(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)

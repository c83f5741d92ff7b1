"""Find the deleted records that still have a document."""

from alembic import op

from tournee.migrations import online

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index(
        "ix_record_tombstone", "record", ["organisation_id", "seq"], where="deleted AND document <> '{}'"
    )


def downgrade() -> None:
    op.drop_index("ix_record_tombstone", "record")

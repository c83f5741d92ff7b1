"""Conflicts store the values that stood, the decision and the actor on the other side."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ADDED = ("operation_ids", "their_actor_id", "standing", "decided", "follow_up_id", "resolution_operation_id")
_IN_DOCUMENTS = {
    "operationIds": [],
    "theirActorId": None,
    "standing": {},
    "decided": None,
    "followUpId": None,
    "resolutionOperationId": None,
}
_RECORD = sa.table(
    "record",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("entity", sa.String()),
    sa.column("document", sa.Text()),
)


def upgrade() -> None:
    with op.batch_alter_table("conflict") as conflict:
        conflict.add_column(sa.Column("operation_ids", sa.JSON(), nullable=False, server_default="[]"))
        conflict.add_column(sa.Column("their_actor_id", sa.Uuid(), nullable=True))
        conflict.add_column(sa.Column("standing", sa.JSON(), nullable=False, server_default="{}"))
        conflict.add_column(sa.Column("decided", sa.JSON(), nullable=True))
        conflict.add_column(sa.Column("follow_up_id", sa.Uuid(), nullable=True))
        conflict.add_column(sa.Column("resolution_operation_id", sa.Uuid(), nullable=True))
    with op.batch_alter_table("conflict") as conflict:
        conflict.alter_column("operation_ids", server_default=None)
        conflict.alter_column("standing", server_default=None)
        conflict.create_index("ix_conflict_record", ["organisation_id", "record_id"])
    _rewrite_documents(lambda document: {**_IN_DOCUMENTS, **document})


def downgrade() -> None:
    with op.batch_alter_table("conflict") as conflict:
        conflict.drop_index("ix_conflict_record")
        for name in reversed(_ADDED):
            conflict.drop_column(name)
    _rewrite_documents(lambda document: {k: v for k, v in document.items() if k not in _IN_DOCUMENTS})


def _rewrite_documents(change):
    connection = op.get_bind()
    rows = connection.execute(sa.select(_RECORD).where(_RECORD.c.entity == "Conflict")).all()
    for row in rows:
        connection.execute(
            sa.update(_RECORD)
            .where(_RECORD.c.organisation_id == row.organisation_id, _RECORD.c.id == row.id)
            .values(document=json.dumps(change(json.loads(row.document))))
        )

"""Repair stored documents that earlier revisions did not rewrite, and let devices pull them."""

import sqlalchemy as sa

from tournee.migrations.documents import change_fields

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # 0004 added columns only.
    change_fields("device", added={"surrender": sa.Boolean(), "surrendered_at": _TIME, "wiped_at": _TIME})
    # 0005 rewrote the documents but gave them no new numbers.
    change_fields(
        "conflict",
        added={
            "operation_ids": sa.JSON(),
            "their_actor_id": sa.Uuid(),
            "standing": sa.JSON(),
            "decided": sa.JSON(),
            "follow_up_id": sa.Uuid(),
            "resolution_operation_id": sa.Uuid(),
        },
        tell_all=True,
    )


def downgrade() -> None:
    """Do nothing: the documents are right for the previous revision as well."""

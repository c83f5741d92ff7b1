"""Move the window of a technician's devices to the profile, which colleagues do not pull."""

import json
import uuid
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("window_from", "window_to")
_WIRE = ("windowFrom", "windowTo")


def _table(name: str, *columns: str) -> sa.TableClause:
    ids = (sa.column(id, sa.Uuid()) for id in ("organisation_id", *columns))
    return sa.table(name, *ids, *(sa.column(name, sa.DateTime(timezone=True)) for name in _COLUMNS))


_technician = _table("technician", "id")
_profile = _table("technician_profile", "technician_id")
_same = sa.and_(
    _profile.c.organisation_id == _technician.c.organisation_id,
    _profile.c.technician_id == _technician.c.id,
)
_record = sa.table(
    "record",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("entity", sa.String()),
    sa.column("document", sa.Text()),
)
_head = sa.table("head", sa.column("organisation_id", sa.Uuid()), sa.column("epoch", sa.Uuid()))


def upgrade() -> None:
    _move(_technician, _profile, _same)
    _move_in_documents("Technician", "TechnicianProfile")


def downgrade() -> None:
    _move(_profile, _technician, _same)
    _move_in_documents("TechnicianProfile", "Technician")


def _move(source: sa.TableClause, to: sa.TableClause, same: sa.ColumnElement[bool]) -> None:
    with op.batch_alter_table(to.name) as table:
        for name in _COLUMNS:
            table.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in _COLUMNS:
        value = sa.select(source.c[name]).where(same).correlate(to).scalar_subquery()
        op.execute(sa.update(to).values({name: value}))
    if op.get_context().dialect.name == "postgresql":
        # A table whose reference checks are still pending cannot be altered, so run them now.
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with op.batch_alter_table(to.name) as table:
        for name in _COLUMNS:
            table.alter_column(name, existing_type=sa.DateTime(timezone=True), nullable=False)
    with op.batch_alter_table(source.name) as table:
        for name in _COLUMNS:
            table.drop_column(name)


def _move_in_documents(source: str, to: str) -> None:
    """Move the fields in the stored documents too; a new epoch makes devices pull them again."""
    connection = op.get_bind()
    pairs: dict[tuple[uuid.UUID, uuid.UUID], dict[str, tuple[uuid.UUID, Any]]] = defaultdict(dict)
    for organisation, id, entity, text in connection.execute(
        sa.select(_record).where(_record.c.entity.in_(("Technician", "TechnicianProfile")))
    ):
        document = json.loads(text)
        technician = uuid.UUID(document["technicianId"]) if entity == "TechnicianProfile" else id
        pairs[organisation, technician][entity] = id, document
    for (organisation, _), pair in pairs.items():
        if len(pair) < 2:
            continue
        window = {name: pair[source][1].pop(name) for name in _WIRE}
        pair[to][1].update(window)
        for id, document in pair.values():
            own = (_record.c.organisation_id == organisation, _record.c.id == id)
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
            connection.execute(sa.update(_record).where(*own).values(document=text))
    for organisation in {organisation for organisation, _ in pairs}:
        new = sa.update(_head).where(_head.c.organisation_id == organisation).values(epoch=uuid.uuid4())
        connection.execute(new)

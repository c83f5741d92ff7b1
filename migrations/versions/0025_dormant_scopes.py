"""List the records of scopes that nobody holds, in place of their edges."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

from tournee.migrations import protect
from tournee.migrations.stored import connection, pages, write_many

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_KEY = (sa.column("organisation_id", sa.Uuid()), sa.column("scope", sa.Uuid()))
_dormant = sa.table(
    "dormant_scope", *_KEY, sa.column("seq", sa.BigInteger()), sa.column("records", sa.LargeBinary())
)
_edge = sa.table(
    "edge",
    *(sa.column(name, sa.Uuid()) for name in ("organisation_id", "scope", "record_id")),
    sa.column("seq", sa.BigInteger()),
    sa.column("open", sa.Boolean()),
)
_record = sa.table(
    "record",
    sa.column("organisation_id", sa.Uuid()),
    sa.column("id", sa.Uuid()),
    sa.column("seq", sa.BigInteger()),
)


def upgrade() -> None:
    op.create_table(
        "dormant_scope",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "scope", name=op.f("pk_dormant_scope")),
    )
    protect("dormant_scope")


def downgrade() -> None:
    """Make the edges again, except those of records that changed since: some left the scope, and nobody
    holds it.
    """
    for rows in pages(sa.select(_dormant), _dormant.c.organisation_id, _dormant.c.scope):
        for row in rows:
            _wake(row)
    op.drop_table("dormant_scope")


def _wake(row: sa.RowMapping) -> None:
    packed = row["records"]
    ids = [UUID(bytes=bytes(packed[start : start + 16])) for start in range(0, len(packed), 16)]
    own = {name: row[name] for name in ("organisation_id", "scope")}
    of = _record.c.organisation_id == own["organisation_id"]
    there = sa.select(_edge.c.record_id).where(
        _edge.c.organisation_id == own["organisation_id"], _edge.c.scope == own["scope"]
    )
    unchanged = sa.select(_record.c.id, _record.c.seq).where(
        of, _record.c.id.in_(ids), _record.c.seq <= row["seq"], _record.c.id.not_in(there)
    )
    found = connection().execute(unchanged).all()
    write_many(sa.insert(_edge), [{**own, "record_id": id, "seq": seq, "open": True} for id, seq in found])

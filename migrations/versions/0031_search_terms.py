"""Find records by their words."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from tournee.kernel.search import Searched
from tournee.migrations import protect
from tournee.migrations.steps import step
from tournee.migrations.stored import connection, pages, write_many

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TABLE = "search_term"
_TEXT = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")
_KEY = ("organisation_id", "record_id")
_term = sa.table(
    _TABLE,
    *(sa.column(name, sa.Uuid()) for name in _KEY),
    *(sa.column(name, sa.String()) for name in ("kind", "text")),
    sa.column("whole", sa.Boolean()),
)
# By table, the entity and its fields.
_SEARCHED = {
    "customer": ("Customer", Searched((), ("name", "external_key", "email"), (), ("phone",))),
    "contact": (
        "Contact",
        Searched((), ("name", "external_key", "email"), ("job_title",), ("phone", "mobile")),
    ),
    "site": ("Site", Searched((), ("name", "external_key"), ("street", "postal_code", "city"))),
    "asset": (
        "Asset",
        Searched(
            (),
            ("name", "serial_number", "external_key", "registration"),
            ("category", "manufacturer", "model"),
        ),
    ),
    "work_order": ("WorkOrder", Searched((), ("number", "external_key", "summary"))),
    "part": ("Part", Searched((), ("number", "name", "external_key"))),
}


def upgrade() -> None:
    if op.get_context().as_sql or not sa.inspect(op.get_bind()).has_table(_TABLE):
        op.create_table(
            _TABLE,
            sa.Column("organisation_id", sa.Uuid(), nullable=False),
            sa.Column("kind", sa.String(40), nullable=False),
            sa.Column("whole", sa.Boolean(), nullable=False),
            sa.Column("text", _TEXT, nullable=False),
            sa.Column("record_id", sa.Uuid(), nullable=False),
            sa.PrimaryKeyConstraint(
                "organisation_id", "kind", "whole", "text", "record_id", name=op.f("pk_search_term")
            ),
            sqlite_with_rowid=False,
        )
        op.create_index("ix_search_term_record", _TABLE, list(_KEY))
        protect(_TABLE)
        step()
    for table, (kind, searched) in _SEARCHED.items():
        _fill(table, kind, searched)


def downgrade() -> None:
    op.drop_table(_TABLE)


def _fill(table: str, kind: str, searched: Searched) -> None:
    named = (*searched.wholes, *searched.words, *searched.phones)
    own = sa.table(
        table,
        *(sa.column(name, sa.Uuid()) for name in ("organisation_id", "id")),
        sa.column("deleted", sa.Boolean()),
        *(sa.column(name, sa.String()) for name in named),
    )
    rows = sa.select(own).where(own.c.deleted.is_(False))
    for page in pages(rows, own.c.organisation_id, own.c.id):
        _clear(page)
        terms = [
            {"organisation_id": row["organisation_id"], "record_id": row["id"], "kind": kind}
            | {"whole": whole, "text": text}
            for row in page
            for whole, text in searched.terms(row.get)
        ]
        write_many(sa.insert(_term), terms)
        step()


def _clear(page: Sequence[Mapping[Any, Any]]) -> None:
    """Remove what an interrupted run wrote of these rows."""
    for organisation_id in {row["organisation_id"] for row in page}:
        ids = [row["id"] for row in page if row["organisation_id"] == organisation_id]
        own = (_term.c.organisation_id == organisation_id, _term.c.record_id.in_(ids))
        connection().execute(sa.delete(_term).where(*own))

"""Copies of an organisation in its database, one for each test, for a few statements."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ColumnElement,
    Insert,
    NullPool,
    String,
    Table,
    Uuid,
    bindparam,
    case,
    create_engine,
    func,
    insert,
    make_url,
    select,
)

from tournee.kernel.entity import Base, Organisation

# No two accounts of a server may have the same e-mail.
_HOST = "@demo.example"


class Copier:
    """Copies one organisation with all rows and ids; only its own id and the e-mails differ."""

    def __init__(self, url: str, original: UUID) -> None:
        self.original = original
        # The server's own user may not write rows of two organisations in one statement.
        user = {} if url.startswith("sqlite") else {"username": "postgres"}
        self.engine = create_engine(make_url(url).set(**user), poolclass=NullPool)
        with self.engine.connect() as connection:
            self.statements = [
                _copy(table)
                for table in Base.metadata.sorted_tables
                if "organisation_id" in table.c or table is Organisation.__table__
                if connection.execute(select(1).select_from(table).limit(1)).first() is not None
            ]

    def copy(self) -> UUID:
        """Copy the organisation and return the new id."""
        copied = uuid4()
        given = {"original": self.original, "copied": copied, "host": f"@{copied.hex}.example"}
        with self.engine.begin() as connection:
            for statement in self.statements:
                connection.execute(statement, given)
        return copied


def _copy(table: Table) -> Insert:
    own = table.c["organisation_id" if "organisation_id" in table.c else "id"]
    there = select(*(_copied(column) for column in table.c)).where(own == bindparam("original", type_=Uuid))
    return insert(table).from_select(list(table.c.keys()), there)


def _copied(column: Any) -> ColumnElement[Any]:
    """Return the copy's value; a scope may be the organisation's id, too."""
    if isinstance(column.type, Uuid):
        original, copied = (bindparam(name, type_=Uuid) for name in ("original", "copied"))
        return case((column == original, copied), else_=column)
    if isinstance(column.type, String):
        return func.replace(column, _HOST, bindparam("host", type_=String))
    return column

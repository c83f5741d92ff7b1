"""The table of search terms (decision 0035).

PostgreSQL serves no LIKE, trigram or full-text search by an index while row security applies, but it does
serve a range of plain texts, and so does SQLite. `engine/indexing.py` writes the terms in the transaction
that writes the record.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Boolean, Index, String, Uuid
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from tournee.engine.statements import Statements
from tournee.kernel.entity import OrganisationRow
from tournee.kernel.search import LONGEST


class SearchTerm(OrganisationRow):
    """A term of a record that is not deleted."""

    __tablename__ = "search_term"
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    whole: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    # By code point on both databases, so that all texts that begin alike are one range.
    text: Mapped[str] = mapped_column(
        String(LONGEST).with_variant(String(LONGEST, collation="C"), "postgresql"), primary_key=True
    )
    record_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)

    __table_args__ = (
        Index("ix_search_term_record", "organisation_id", "record_id"),
        {"sqlite_with_rowid": False},
    )


def must_be_led(session: AsyncSession) -> bool:
    """Return whether the database must be made to look up the terms of one record after the other: PostgreSQL
    may else read every term of the organisation.
    """
    return not Statements(session).in_process

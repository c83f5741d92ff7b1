"""Roles of PostgreSQL that read the reporting views of one organisation."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import Base, Placement


class DatabaseRole(Base):
    """The organisation that a role of PostgreSQL sees in the reporting views. Without a row it sees none."""

    __tablename__ = "database_role"
    placement = Placement.COORDINATOR
    role: Mapped[str] = mapped_column(String(63), primary_key=True)
    seen_organisation_id: Mapped[UUID] = mapped_column(Uuid)

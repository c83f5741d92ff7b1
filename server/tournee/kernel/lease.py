"""The table of leases: work that one process of all servers does at a time."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import String, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import Base, Placement, UTCDateTime


class Lease(Base):
    """Who does a round of some work, and how far the round has come."""

    __tablename__ = "lease"
    placement = Placement.COORDINATOR
    work: Mapped[str] = mapped_column(String(40), primary_key=True)
    holder: Mapped[UUID] = mapped_column(Uuid)
    # After this, the holder is taken for dead.
    until: Mapped[datetime] = mapped_column(UTCDateTime)
    # The last organisation done in the round under way; null between two rounds.
    position: Mapped[UUID | None] = mapped_column(Uuid)
    # No round begins before this.
    next_at: Mapped[datetime] = mapped_column(UTCDateTime)

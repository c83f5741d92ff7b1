"""Standards and their clauses."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.state import Transition
from tournee.quality.permissions import QUALITY_READ
from tournee.quality.states import (
    STANDARD,
    StandardStatus,
)


class QualityStandard(Entity):
    """A revision of a standard, internal or public, that audits check against."""

    __tablename__ = "quality_standard"
    __table_args__ = (UniqueConstraint("organisation_id", "code", "revision"),)
    reads = QUALITY_READ
    decider = Role.AUDITOR

    code: Mapped[str] = column(80, description="Such as `ISO 9001`.")
    title: Mapped[str] = column(300)
    """The full name, as printed on its first page."""
    revision: Mapped[str] = column(40, default="", description="Such as `2015`.")
    status: Mapped[StandardStatus] = column(merge=Merge.STATE_MACHINE, default=StandardStatus.ACTIVE)
    """Whether new audits may use it."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)

    def transitions(self) -> list[Transition]:
        return STANDARD.transitions(self.status)


class StandardClause(Entity):
    """A clause of a standard."""

    __tablename__ = "standard_clause"
    reads = QUALITY_READ
    decider = Role.AUDITOR

    standard_id: Mapped[UUID] = reference("quality_standard")
    """The standard that it is part of."""
    parent_id: Mapped[UUID | None] = reference("standard_clause")
    """The clause that it is a part of; null for a chapter."""
    number: Mapped[str] = column(40, description="Such as `7.5.1`.")
    title: Mapped[str] = column(300)
    """The clause's heading."""
    text: Mapped[str | None] = column()
    """What it demands; null where only the heading is stored."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)

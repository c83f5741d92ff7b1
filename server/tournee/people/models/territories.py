"""Territories, and who works in them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from uuid import UUID

from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.fields import column, reference
from tournee.people.models.technicians import OfTechnician
from tournee.people.permissions import PEOPLE_READ


class MembershipKind(StrEnum):
    """A technician has at most one primary territory, and may help out in others."""

    PRIMARY = "PRIMARY"
    """Their usual area."""
    SECONDARY = "SECONDARY"
    """An area in which they help out."""


class Territory(Entity):
    """A service area. Areas can lie inside larger ones."""

    __tablename__ = "territory"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(120)
    """What people call this area."""
    code: Mapped[str | None] = column(40, description="Short name, as on a map or a plan.")
    parent_id: Mapped[UUID | None] = reference("territory", description="The larger area around it.")

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)


class TerritoryMembership(OfTechnician, Entity):
    """A technician works in a territory."""

    __tablename__ = "territory_membership"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    territory_id: Mapped[UUID] = reference("territory")
    """The area in which the technician works."""
    kind: Mapped[MembershipKind] = column(default=MembershipKind.PRIMARY)
    """Whether this is the usual area or one to help out in."""
